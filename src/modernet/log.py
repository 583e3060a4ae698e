"""What a run says: to the terminal, and to the file of its folder."""

import logging
import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

logger = logging.getLogger("modernet")


def has_company() -> bool:
    """Whether this process is one of several that share a terminal: those of a sweep with hydra/launcher=joblib."""
    return multiprocessing.parent_process() is not None


@contextmanager
def logging_to(path: Path | None, name: str, append: bool = False) -> Iterator[logging.Logger]:
    """A logger that writes to stderr, around a progress bar if there is one, and to the file at `path`.

    Without a path it says only what is wrong: the processes that do not write are not to repeat each other. Where
    several runs share a terminal each line there begins with the run's name.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if has_company():
        handlers[0].setFormatter(logging.Formatter(name.replace("%", "%%") + ": %(message)s"))
    logger.setLevel(logging.INFO)
    if path is None:
        logger.setLevel(logging.WARNING)
    else:
        handlers.append(logging.FileHandler(path, mode="a" if append else "w"))
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        handlers[1].handleError = lambda record: None  # a full disk is told by what cannot do without it
    logger.propagate = False
    logger.handlers = handlers
    try:
        with logging_redirect_tqdm([logger]):
            yield logger
    finally:
        logger.handlers = []
        for handler in handlers:
            handler.close()
