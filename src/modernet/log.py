"""What a run says: to the terminal, and to the file of its folder."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

logger = logging.getLogger("modernet")


@contextmanager
def logging_to(path: Path) -> Iterator[logging.Logger]:
    """A logger that writes to stderr, around a progress bar if there is one, and to a new file at `path`."""
    handlers = [logging.StreamHandler(sys.stderr), logging.FileHandler(path, mode="w")]
    handlers[1].setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = handlers
    try:
        with logging_redirect_tqdm([logger]):
            yield logger
    finally:
        logger.handlers = []
        handlers[1].close()
