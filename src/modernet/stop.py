"""Being asked to stop: a signal is noted, and acted on when a step is done and saved."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Of the shell or a scheduler, of Ctrl-C, and of Slurm before it takes a node back.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Stop:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.asked: str | None = None  # the signal's name

    def note(self, number: int, frame: FrameType | None) -> None:
        self.asked = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)  # who asks twice does not want to wait


@contextmanager
def listening() -> Iterator[Stop]:
    """Note signals while the context lasts, rather than end at once."""
    stop = Stop()
    before = {number: signal.signal(number, stop.note) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
