"""Standard output and error where nobody reads them: closed, a broken pipe, or a terminal that is gone."""

import os
import sys
from typing import TextIO


def open_missing_streams() -> None:
    """Standard streams for a process that was started without, as by `2>&-`.

    Python has None for them, and the next file that it opens would get their number, and with it the lines of others.
    """
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest free one: that of the missing stream
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def discard(stream: TextIO) -> None:
    """Write nothing more to this stream. Python would report what it cannot write once more when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_terminal(stream: TextIO) -> bool:
    """Whether a line can be drawn again: a terminal with columns, which a new pseudo-terminal has not."""
    return stream.isatty() and os.get_terminal_size(stream.fileno()).columns > 0
