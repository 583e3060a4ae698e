"""No process of a run or a sweep lives on when the process that started it is killed."""

import os
import signal
import sys
import time
import uuid
from pathlib import Path

import pytest
from ranks import TORCHRUN, Process, end, start, wait_for
from trials.processes import descendants_of

from modernet.runtime.file_names import RECORD_FILE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("interruptions")]

SECONDS = 10
VARIABLE = "MODERNET_TEST"
LONG = (
    *("+step=gelu", "data=fake", "data.image_size=8", "data.num_classes=10", "data.train_images=640"),
    *("data.test_images=64", "recipe.batch_size=64", "recipe.epochs=8", "recipe.warmup_epochs=0", "wandb=disabled"),
)
COMMANDS = {
    # Four workers, of which two train nothing.
    "joblib": ("train.py", "-m", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=4"),
    "torchrun": (*TORCHRUN[1:], "train.py", "recipe.micro_batch_size=32"),
}


def kill_and_wait(process: Process, token: str) -> list[int]:
    """The processes that are left ten seconds after a process was killed."""
    process.kill()
    left, waited = descendants_of(VARIABLE, token), time.monotonic()
    while left and time.monotonic() < waited + SECONDS:
        time.sleep(0.1)
        left = descendants_of(VARIABLE, token)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left


# torchrun is killed while its rank imports: the rank would wait for half an hour for the others.
PARENT_DIES_EARLY = """
import os, signal, time
import modernet
parent = os.getppid()
os.kill(parent, signal.SIGKILL)
while os.getppid() == parent:
    time.sleep(0.01)
from modernet.commands.train import main
main()
"""


def test_rank_ends_whose_torchrun_was_killed_while_it_started(tmp_path):
    token, words = uuid.uuid4().hex, [*LONG, "recipe.micro_batch_size=32", f"runs={tmp_path}"]
    ranks = {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    shell = ["sh", "-c", '"$@" & wait', "sh", sys.executable, "-c", PARENT_DIES_EARLY, *words]
    process = start(shell, MASTER_ADDR="127.0.0.1", MASTER_PORT="29599", **ranks, **{VARIABLE: token})
    process.wait()
    assert kill_and_wait(process, token) == []
    process.communicate()


@pytest.mark.parametrize("kind", COMMANDS)
def test_processes_end_within_ten_seconds_of_their_killed_parent_and_the_runs_resume(tmp_path, kind):
    token, command = uuid.uuid4().hex, [sys.executable, *COMMANDS[kind], *LONG, f"runs={tmp_path}"]
    process = start(command, **{VARIABLE: token})
    number = 2 if kind == "joblib" else 1

    def training() -> list[Path]:
        paths = list(tmp_path.rglob("metrics.jsonl"))
        return paths if len(paths) == number else []

    wait_for(training, process)
    assert len(descendants_of(VARIABLE, token)) > 2
    assert kill_and_wait(process, token) == []
    assert not list(tmp_path.rglob(RECORD_FILE))
    checkpoints = list(tmp_path.rglob("checkpoint-*.pt"))
    assert len({path.parent for path in checkpoints}) == number, "each run saved before it ended"
    process.communicate()

    status, _, err = end(start(command))
    assert status == 0, err
    assert len(list(tmp_path.rglob(RECORD_FILE))) == number
    assert all("resuming from step" in log.read_text() for log in tmp_path.rglob("train.log"))
