"""The log of a run: on the terminal, and in a file in its folder."""

import logging
import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

logger = logging.getLogger("modernet")


def is_sweep_worker() -> bool:
    """Whether this process shares a terminal with others: a worker of hydra/launcher=joblib."""
    return multiprocessing.parent_process() is not None


@contextmanager
def run_logging(path: Path | None, name: str, append: bool = False) -> Iterator[logging.Logger]:
    """A logger that writes to stderr, above the progress bar if there is one, and to the file at `path`.

    Without a path it logs warnings only: ranks that write no files do not repeat each other. In a sweep's worker each
    line on the terminal starts with the run's name.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if is_sweep_worker():
        handlers[0].setFormatter(logging.Formatter(name.replace("%", "%%") + ": %(message)s"))
    logger.setLevel(logging.INFO)
    if path is None:
        logger.setLevel(logging.WARNING)
    else:
        handlers.append(logging.FileHandler(path, mode="a" if append else "w", encoding="utf-8"))
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        handlers[1].handleError = lambda record: None  # a full disk is reported where a file is essential
    logger.propagate = False
    logger.handlers = handlers
    try:
        with logging_redirect_tqdm([logger]):
            yield logger
    finally:
        logger.handlers = []
        for handler in handlers:
            handler.close()
