"""Signals that ask a run to stop: noted when they arrive, acted on after the current step."""

import os
import signal
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from modernet.errors import Interrupted
from modernet.runtime.distributed import is_torchrun
from modernet.runtime.logging import is_sweep_worker

# Slurm sends one before it takes a node back or the time limit is reached; submitit's is the second. POSIX only.
SLURM_WARNINGS = ("SIGUSR1", "SIGUSR2")
NAMES = ("SIGTERM", "SIGINT", "SIGHUP", *SLURM_WARNINGS)


def stop_signals() -> list[signal.Signals]:
    """The signals that ask to stop, as far as this operating system has them; no SIGHUP where `nohup` ignores it."""
    found = [signal.Signals[name] for name in NAMES if hasattr(signal, name)]
    return [number for number in found if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN]


def answer(number: int, speaks: bool = True) -> None:
    """Tell a user who pressed Ctrl-C what happens now; after SIGHUP write nothing more to the terminal, which is gone.

    A second SIGHUP is ignored: the kernel sends one to all processes of a terminal, and its shell another one.
    """
    name = signal.Signals(number).name
    if name == "SIGINT" and speaks and os.isatty(2):
        os.write(2, b"\nsaving after this step; a second Ctrl-C ends at once, without a checkpoint\n")
    elif name == "SIGHUP":
        signal.signal(number, signal.SIG_IGN)
        for stream in (1, 2):
            if stat.S_ISCHR(os.fstat(stream).st_mode):  # os.isatty is false for a terminal that is gone
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


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
            answer(number, speaks=not is_sweep_worker())


_latest = ShutdownSignal()


def restore(handlers: Mapping[signal.Signals, Any]) -> None:
    """Install the handlers from before; a hangup that `answer` ignores stays ignored."""
    for number, handler in handlers.items():
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


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
        restore(handlers)


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
