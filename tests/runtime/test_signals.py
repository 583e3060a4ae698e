"""Signals ask a run to stop; operating systems have different ones."""

import signal
import subprocess
import sys

import pytest

from modernet.runtime.signals import ShutdownSignal, catch_signals, stop_signals

# Windows has no SIGHUP, SIGUSR1, SIGUSR2.
IMPORT_WITHOUT_POSIX_SIGNALS = """
import importlib, signal, sys
for name in ("SIGHUP", "SIGUSR1", "SIGUSR2"):
    delattr(signal, name)
for module in sys.argv[1:]:
    importlib.import_module(module)
from modernet.runtime.signals import catch_signals, stop_signals
print([number.name for number in stop_signals()])
with catch_signals() as shutdown:
    print(shutdown.requested)
"""


def test_import_needs_no_posix_signals():
    words = [sys.executable, "-c", IMPORT_WITHOUT_POSIX_SIGNALS, "modernet.runtime.signals", "modernet.commands.train"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.stdout.splitlines() == ["['SIGTERM', 'SIGINT']", "None"], result.stderr


@pytest.mark.parametrize("is_ignored", [False, True])
def test_stop_signals_include_the_warnings_of_slurm_and_no_hangup_that_nohup_ignores(is_ignored):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
    names = [number.name for number in stop_signals()]
    signal.signal(signal.SIGHUP, before)
    assert names == ["SIGTERM", "SIGINT", *([] if is_ignored else ["SIGHUP"]), "SIGUSR1", "SIGUSR2"]


def test_handlers_are_restored_after_the_context():
    before = [signal.getsignal(number) for number in stop_signals()]
    with catch_signals() as shutdown:
        assert all(signal.getsignal(number) == shutdown.receive for number in stop_signals())
    assert [signal.getsignal(number) for number in stop_signals()] == before
    assert shutdown.requested is None


# In another process: a process that was signalled starts no further run.
CATCH_ONE = """
import os, signal, sys
from modernet.errors import Interrupted
from modernet.runtime.signals import catch_signals
number = signal.Signals[sys.argv[1]]
with catch_signals() as shutdown:
    os.kill(os.getpid(), number)
    print(shutdown.requested, signal.getsignal(number) == signal.SIG_DFL)
try:
    with catch_signals():
        print("started another run")
except Interrupted as error:
    print(error, error.status)
"""


def test_torchrun_may_repeat_a_signal(monkeypatch):
    """It forwards SIGTERM to processes that got it already, and kills them where they do not end."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with catch_signals():
        before, shutdown = signal.getsignal(signal.SIGUSR1), ShutdownSignal()
        shutdown.receive(signal.SIGUSR1, None)
        assert (signal.getsignal(signal.SIGUSR1), shutdown.requested) == (before, "SIGUSR1")
        assert before != signal.SIG_DFL


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"])
def test_first_signal_is_noted_and_stops_later_runs_and_the_second_ends_the_process(name):
    words = [sys.executable, "-c", CATCH_ONE, name]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.stdout.splitlines() == [f"{name} True", f"stopped by {name} 143"], result.stderr
