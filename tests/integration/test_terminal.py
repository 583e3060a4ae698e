"""A run on a terminal: Ctrl-C, and a terminal that is closed."""

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT
from ranks import PATIENCE

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "train.py", "+step=gelu", "wandb=disabled")
PROMISE = "saving after this step; a second Ctrl-C ends at once, without a checkpoint"


def start_on_terminal(runs: Path, *arguments: str) -> tuple[int, int]:
    """Process and terminal of a training."""
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(ROOT)
        os.execv(COMMAND[0], [*COMMAND, *arguments, f"runs={runs}"])
    return process, terminal


def wait_for_logs(runs: Path, number: int, terminal: int) -> None:
    """Wait until so many runs are trained, and read what the terminal shows: its buffer is small."""
    latest = time.monotonic() + PATIENCE
    while sum("epoch 1: " in log.read_text() for log in runs.rglob("train.log")) < number:
        assert time.monotonic() < latest
        if select.select([terminal], [], [], 0.1)[0]:
            os.read(terminal, 65_536)


def wait_for_text(terminal: int, text: str) -> str:
    shown = ""
    while text not in shown:
        shown += os.read(terminal, 65_536).decode()
    return shown


def end(process: int) -> int:
    """Exit status, negative for a signal."""
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("sweep", [(), ("-m", "seed=0,1", "hydra.launcher.n_jobs=2")])
def test_a_closed_terminal_saves_the_runs(tmp_path, sweep):
    process, terminal = start_on_terminal(tmp_path, *sweep, "recipe.epochs=200")
    wait_for_logs(tmp_path, 2 if sweep else 1, terminal)
    os.close(terminal)
    assert end(process) == 143
    logs = list(tmp_path.rglob("train.log"))
    assert all("stopped by SIG" in log.read_text().splitlines()[-1] for log in logs), [log.read_text() for log in logs]
    assert all(list(log.parent.glob("checkpoint-*.pt")) for log in logs)
    assert not list(tmp_path.rglob("record.json"))


@pytest.mark.parametrize("sweep", [(), ("-m", "seed=0,1", "hydra.launcher.n_jobs=2")])
def test_ctrl_c_says_what_happens_and_saves(tmp_path, sweep):
    process, terminal = start_on_terminal(tmp_path, *sweep, "recipe.epochs=200")
    wait_for_logs(tmp_path, 2 if sweep else 1, terminal)
    os.write(terminal, b"\x03")
    assert wait_for_text(terminal, "rerun the same command").count(PROMISE) == 1
    assert end(process) == 143
    os.close(terminal)
    assert all(list(log.parent.glob("checkpoint-*.pt")) for log in tmp_path.rglob("train.log"))
