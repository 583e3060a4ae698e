"""Signals that ask a run to stop: noted when they arrive, acted on after the current step."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from modernet.errors import Interrupted
from modernet.runtime.distributed import is_torchrun

# Slurm sends one before it takes a node back or the time limit is reached; submitit's is the second. POSIX only.
SLURM_WARNINGS = ("SIGUSR1", "SIGUSR2")
NAMES = ("SIGTERM", "SIGINT", *SLURM_WARNINGS)


def stop_signals() -> list[signal.Signals]:
    """The signals that ask to stop, as far as this operating system has them."""
    return [signal.Signals[name] for name in NAMES if hasattr(signal, name)]


class ShutdownSignal:
    """Whether a signal asked this process to stop."""

    def __init__(self) -> None:
        self.requested: str | None = None  # name of the first signal

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal handler. The same signal ends the process at once when it comes again.

        Not so under torchrun: it passes on what its processes may have got before, and ends them after 30 seconds.
        """
        self.requested = self.requested or signal.Signals(number).name
        if not is_torchrun():
            signal.signal(number, signal.SIG_DFL)


_latest = ShutdownSignal()


@contextmanager
def catch_signals() -> Iterator[ShutdownSignal]:
    """Note signals instead of ending the process.

    Raises Interrupted in a process that was signalled before: a sweep's worker starts no further run.
    """
    global _latest
    if _latest.requested:
        raise Interrupted(f"stopped by {_latest.requested}")
    shutdown = _latest = ShutdownSignal()
    handlers = {number: signal.signal(number, shutdown.receive) for number in stop_signals()}
    try:
        yield shutdown
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def ignore_signals(worker: int = 0) -> None:
    """Leave signals to the main process. DataLoader calls this first in each worker process, with its number.

    `timeout`, Slurm and Ctrl-C signal all processes of a run; without its workers the main process could not end the
    current step. SIGTERM from the parent process still ends a worker: Python sends it when the parent exits.
    """
    if not hasattr(signal, "sigwaitinfo"):  # macOS: nothing there says who sent a signal
        for number in set(stop_signals()) - {signal.SIGTERM}:
            signal.signal(number, signal.SIG_IGN)
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals())
    threading.Thread(target=_exit_on_sigterm_of_parent, daemon=True).start()


def _exit_on_sigterm_of_parent() -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)
