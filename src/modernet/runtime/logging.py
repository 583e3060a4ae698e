"""The log of a run: on the terminal, and in a file in its folder."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

logger = logging.getLogger("modernet")
SWEEP_VARIABLE = "MODERNET_SWEEP"  # an environment variable reaches the processes of joblib and Slurm, too
CLEAR_LINE = "\r\x1b[K"


@contextmanager
def sweep_terminal() -> Iterator[None]:
    """Leave the terminal to a sweep's status line: runs started in this context print nothing but warnings."""
    os.environ[SWEEP_VARIABLE] = "1"
    try:
        yield
    finally:
        del os.environ[SWEEP_VARIABLE]


def is_sweep_worker() -> bool:
    """Whether the run in this process is one of a sweep, whose status line has the terminal."""
    return SWEEP_VARIABLE in os.environ


class _SweepHandler(logging.Handler):
    """Prints a run's warnings above the status line. The sweep reports errors, and train.log has the other lines."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            from tqdm import tqdm

            clear = CLEAR_LINE if sys.stderr.isatty() else ""  # another process may have drawn the status line
            with suppress(OSError):  # the terminal is gone
                tqdm.write(clear + self.format(record), file=sys.stderr)


@contextmanager
def run_logging(path: Path | None, name: str, append: bool) -> Iterator[None]:
    """The logger writes to stderr, above the progress bar if there is one, and to the file at `path`.

    Without a path it logs warnings only: ranks that write no files do not repeat each other. In a sweep the terminal
    gets warnings only, each after the run's name.
    """
    # Takes longer than all else that a finished run does with its record.
    from tqdm.contrib.logging import logging_redirect_tqdm

    in_sweep = is_sweep_worker()
    handlers: list[logging.Handler] = [_SweepHandler() if in_sweep else logging.StreamHandler(sys.stderr)]
    if in_sweep:
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
        with nullcontext() if in_sweep else logging_redirect_tqdm([logger]):
            yield
    finally:
        logger.handlers = []
        for handler in handlers:
            handler.close()
