"""Several processes train the run that one process trains."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import RANDOM_IMAGES, ROOT, run_command

# Four steps of 32 images, with nothing random but their order.
DATA = (*RANDOM_IMAGES, "data.train_images=128", "data.test_images=45")
NO_DRAWS = ("data.flip=false", "data.crop_padding=0", "recipe.drop_path_rate=0", "recipe.randaugment=0")
NO_MIXING = ("recipe.mixup_alpha=0", "recipe.cutmix_alpha=0", "recipe.random_erasing_prob=0")
RECIPE = ("recipe.batch_size=32", "recipe.epochs=1", "recipe.warmup_epochs=0")
RUN = ("+step=convnext", *DATA, *NO_DRAWS, *NO_MIXING, *RECIPE, "wandb=disabled", "device=cpu")


def load_run(runs: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    (path,) = runs.rglob("record.json")
    return json.loads(path.read_text()), torch.load(path.with_name("model.pt"), weights_only=True)["model"]


def assert_equal_but_for_rounding(one: Path, two: Path) -> None:
    (record, weights), (record2, weights2) = load_run(one), load_run(two)
    assert (record["machine"]["devices"], record2["machine"]["devices"]) == (1, 2)
    assert record2["machine"]["micro_batch_size"] == 16
    assert record2["val_loss"] == pytest.approx(record["val_loss"], rel=1e-5)
    assert record2["top1"] == record["top1"]  # of 45 images, each counted once
    for name, value in weights.items():
        torch.testing.assert_close(weights2[name], value, rtol=1e-5, atol=1e-5)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_processes_equal_one(tmp_path):
    """The ranks come from torchrun's environment variables; torchrun itself takes seconds to start."""
    address = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "train.py", *RUN, f"runs={tmp_path / 'two'}"]
    ranks = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **address, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    result = run_command("train", *RUN, f"runs={tmp_path / 'one'}")
    assert result.returncode == 0, result.stderr
    (out, err), (out1, err1) = (process.communicate() for process in ranks)
    assert [process.returncode for process in ranks] == [0, 0], err + err1
    assert (len(out.splitlines()), out1) == (1, "")  # only rank 0 prints the record's path
    assert_equal_but_for_rounding(tmp_path / "one", tmp_path / "two")


def run_torchrun(runs: Path, *more: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*launcher, "train.py", *RUN, f"runs={runs}", *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_torchrun_trains_one_run_with_two_processes(tmp_path):
    result = run_torchrun(tmp_path / "two")
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1
    run_command("train", *RUN, f"runs={tmp_path / 'one'}")
    assert_equal_but_for_rounding(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_torchrun_ends_all_processes_for_invalid_input(tmp_path):
    result = run_torchrun(tmp_path, "recipe.sync_batchnorm=true")
    assert result.returncode != 0
    assert "recipe.sync_batchnorm=true needs GPUs" in result.stderr
    assert not list(tmp_path.rglob("record.json"))
