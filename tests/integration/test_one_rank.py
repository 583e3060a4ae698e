"""What one of several processes meets alone ends all of them, with a line that says what it was."""

import json
import shutil
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
from helpers import RANDOM_IMAGES, run_command
from image_files import write_folder
from ranks import TORCHRUN, end, start, start_ranks

from modernet.runtime.file_names import RECORD_FILE

RUN = (
    *(*RANDOM_IMAGES, "data.train_images=128", "data.test_images=64", "+step=modern_recipe", "wandb=disabled"),
    *("recipe.batch_size=16", "recipe.micro_batch_size=8", "recipe.epochs=2", "recipe.warmup_epochs=0"),
)
# A program that trains as train.py does, where a function of the loop fails in some processes at its third call.
FAILS = """
import os, signal
from modernet.training import {module}
function, calls = {module}.{name}, []

def fails(*arguments):
    calls.append(0)
    if len(calls) == 3 and {condition}:
        {fault}
    return function(*arguments)

{module}.{name} = fails
from modernet.commands.train import main
main()
"""


def write_script(folder: Path, condition: str, fault: str, module: str = "loop", name: str = "training_loss") -> Path:
    path = folder / "train.py"
    path.write_text(FAILS.format(condition=condition, fault=fault, module=module, name=name))
    return path


@pytest.mark.parametrize("rank", [0, 1])
def test_error_of_one_rank_ends_the_others(tmp_path, rank):
    script = write_script(tmp_path, f"os.environ['RANK'] == '{rank}'", "raise ValueError('a mistake of the code')")
    results = list(map(end, start_ranks([*RUN, f"runs={tmp_path / 'runs'}"], script=script), [120, 120]))
    assert results[rank][0] == 1
    # Rarely a thread of torch aborts a process whose peer is gone, while it ends.
    assert results[1 - rank][0] in (1, -signal.SIGABRT), results
    assert "ValueError: a mistake of the code" in results[rank][2]
    assert "error: another process of the run died" in results[1 - rank][2]
    assert len(list(tmp_path.rglob(RECORD_FILE))) == (1 if rank == 0 else 0), (
        "rank 0 alone writes, and knows of its own"
    )


@pytest.mark.slow
def test_error_of_all_ranks_fails_the_run_and_not_the_next_one_of_a_sweep(tmp_path):
    script = write_script(tmp_path, "True", "raise ValueError('a mistake of the code')")
    sweep = ["-m", *RUN, "seed=0,1", f"runs={tmp_path / 'runs'}"]
    results = list(map(end, start_ranks(sweep, script=script)))
    assert [status for status, *_ in results] == [1, 1], results
    records = {record["seed"]: record for record in map(json.loads, map(Path.read_text, tmp_path.rglob(RECORD_FILE)))}
    assert [records[seed]["status"] for seed in (0, 1)] == ["failed", "done"]


def test_full_disk_of_rank_0_is_named_once(tmp_path):
    fault = "raise OSError(28, 'No space left on device', 'checkpoint.pt')"
    script = write_script(tmp_path, "True", fault, "checkpoint", "save_checkpoint")
    ranks = start_ranks([*RUN, "checkpoint_minutes=0", f"runs={tmp_path / 'runs'}"], script=script)
    (status, _, err), (status1, _, err1) = map(end, ranks)
    assert (status, status1) == (1, 1)
    assert "error: no space left on the disk of" in err
    assert err1.splitlines()[-1] == ("train.py: error: rank 0 could not save a checkpoint; its message has the reason")


def test_memory_error_of_a_rank_is_printed(tmp_path):
    script = write_script(tmp_path, "os.environ['RANK'] == '1'", "raise MemoryError")
    _, (status1, _, err1) = map(end, start_ranks([*RUN, f"runs={tmp_path / 'runs'}"], script=script))
    assert status1 == 1
    assert "error: not enough memory for batches of 8 images" in err1


def test_data_that_one_rank_lacks_are_named(tmp_path):
    images = write_folder(tmp_path / "images")
    files = ("data=folder", "data.image_size=32", *RUN[-4:], "+step=gelu", f"runs={tmp_path / 'runs'}")
    of_rank = [f"data.root={images}", f"data.root={tmp_path / 'nothing'}"]
    (status, _, err), (status1, _, err1) = map(end, start_ranks(files, of_rank=of_rank))
    assert (status, status1, err1) == (2, 2, "")
    (line,) = err.splitlines()
    assert line.startswith("train.py: error: rank 1: ")
    assert str(tmp_path / "nothing") in line
    assert not (tmp_path / "runs").exists()


def test_data_that_differ_between_ranks_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    for name, number in (("a", 40), ("b", 50)):
        (tmp_path / name).mkdir()
        images, labels = rng.integers(0, 256, (number, 32, 32, 3), np.uint8), np.arange(number) % 10
        np.savez(tmp_path / name / "cifar10.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    arguments = ("data=cifar10", *RUN[-4:], "+step=gelu", f"runs={tmp_path / 'runs'}")
    ranks = start_ranks(arguments, of_rank=[f"data.root={tmp_path / name}" for name in "ab"])
    (status, _, err), (status1, *_) = map(end, ranks)
    assert (status, status1) == (2, 2)
    (line,) = err.splitlines()
    assert line.startswith("train.py: error: the processes see different files of the data; data.root")


def test_record_that_one_rank_does_not_see_is_reported(tmp_path):
    assert run_command("train", *RUN, f"runs={tmp_path / 'own'}").returncode == 0
    results = list(map(end, start_ranks(RUN, of_rank=[f"runs={tmp_path / name}" for name in ("own", "other")])))
    for status, _, err in results:
        assert status == 1
        assert "error: only some of the processes find the record of the run; runs= must be a folder that all" in err
    assert not (tmp_path / "other").exists()
    shutil.copytree(tmp_path / "own", tmp_path / "other")
    for status, *_ in map(end, start_ranks(RUN, of_rank=[f"runs={tmp_path / name}" for name in ("own", "other")])):
        assert status == 0


def test_processes_without_an_address_are_refused(tmp_path):
    result = run_command("train", *RUN, f"runs={tmp_path}", environment={"RANK": "0", "WORLD_SIZE": "2"})
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("train.py: error: RANK and WORLD_SIZE are set, MASTER_ADDR and MASTER_PORT are not; start")


def test_port_in_use_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        address = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        result = run_command("train", *RUN, f"runs={tmp_path}", environment=address)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line == f"train.py: error: MASTER_PORT={port} of 127.0.0.1 is in use; name another port"


@pytest.mark.slow
def test_what_one_rank_lacks_ends_each_run_of_a_sweep(tmp_path):
    """A GPU, a compiler or a file of weights can be missing on one machine."""
    sweep = ["-m", *RUN, "seed=0,1", f"runs={tmp_path / 'runs'}"]
    (status, _, err), (status1, *_) = map(end, start_ranks(sweep, of_rank=["device=cpu", "device=cuda"]))
    assert (status, status1) == (1, 1)
    assert err.count("rank 1: device=cuda") == 2, err


def test_memory_error_of_a_rank_is_printed_in_a_sweep(tmp_path):
    script = write_script(tmp_path, "os.environ['RANK'] == '1'", "raise MemoryError")
    _, (status1, _, err1) = map(end, start_ranks(["-m", *RUN, "seed=0,1", f"runs={tmp_path / 'runs'}"], script=script))
    assert status1 == 1
    assert "error: not enough memory for batches of 8 images" in err1


@pytest.mark.slow
def test_torchrun_restarts_a_run_whose_rank_was_killed(tmp_path):
    condition = "os.environ['RANK'] == '1' and os.environ['TORCHELASTIC_RESTART_COUNT'] == '0'"
    script = write_script(tmp_path, condition, "os.kill(os.getpid(), signal.SIGKILL)")
    torchrun = [*TORCHRUN, "--max-restarts=1", script]
    status, out, err = end(start([*torchrun, *RUN, "checkpoint_minutes=0", f"runs={tmp_path / 'runs'}"]))
    assert status == 0, err
    assert json.loads(Path(out.splitlines()[-1]).read_text())["status"] == "done"
    assert "resuming from step" in err + out
