"""Being asked to stop: a signal is noted, and acted on when a step is done and saved."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from modernet.errors import Stopped

WARNINGS = ("SIGUSR1", "SIGUSR2")  # of Slurm, before it takes a node back or the time is over; submitit's is the second
SIGNALS = (signal.SIGTERM, signal.SIGINT, *(signal.Signals[name] for name in WARNINGS))  # of a shell, and of Ctrl-C


class Stop:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.asked: str | None = None  # the signal's name

    def note(self, number: int, frame: FrameType | None) -> None:
        self.asked = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)  # who asks twice does not want to wait


_last = Stop()


@contextmanager
def listening() -> Iterator[Stop]:
    """Note signals while the context lasts, rather than end at once.

    Raises Stopped in a process that was asked before: of a sweep it starts no other run.
    """
    global _last
    if _last.asked:
        raise Stopped(f"stopped by {_last.asked}")
    stop = _last = Stop()
    before = {number: signal.signal(number, stop.note) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
