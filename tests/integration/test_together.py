"""Several processes do what one does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT

from modernet.runtime.distributed import DistributedEnv, rendezvous, distributed_env

# 20 steps of 64 images, with nothing random but their order.
STEADY = ("+step=convnext", "data.crop_padding=0", "recipe.drop_path_rate=0", "recipe.batch_size=64")
RUN = ("train.py", *STEADY, "recipe.epochs=1", "recipe.warmup_epochs=0", "data.split=train/val", "wandb=disabled")


def launched(runs: Path, processes: int, *more: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [*launcher, *RUN, f"runs={runs}", *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def result(runs: Path) -> tuple[dict, dict]:
    (path,) = runs.rglob("record.json")
    return json.loads(path.read_text()), torch.load(path.with_name("model.pt"), weights_only=True)["model"]


@pytest.mark.slow
def test_two_processes_follow_one(tmp_path):
    for processes in (1, 2):
        run = launched(tmp_path / str(processes), processes)
        assert run.returncode == 0, run.stderr
        assert len(run.stdout.splitlines()) == 1  # rank 0 alone speaks
    (one, weights), (two, weights2) = (result(tmp_path / str(processes)) for processes in (1, 2))
    assert (one["machine"]["devices"], two["machine"]["devices"]) == (1, 2)
    assert two["machine"]["micro_batch_size"] == 32
    assert two["val_loss"] == pytest.approx(one["val_loss"], rel=1e-5)
    assert two["top1"] == one["top1"]  # of 144 images, each counted once
    for name, value in weights.items():
        torch.testing.assert_close(weights2[name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_sync_batchnorm_needs_gpus(tmp_path):
    run = launched(tmp_path, 2, "recipe.sync_batchnorm=true")
    assert run.returncode != 0
    assert "recipe.sync_batchnorm=true needs GPUs" in run.stderr
    assert not list(tmp_path.rglob("record.json"))


def test_the_place_is_read_from_torchrun_or_slurm():
    assert distributed_env({}) == DistributedEnv(0, 1, 0)
    assert distributed_env({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}) == DistributedEnv(3, 4, 1)
    slurm = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1", "SLURM_NTASKS": "8"}
    assert distributed_env(slurm) == DistributedEnv(5, 8, 1)
    del slurm["SLURM_STEP_NUM_TASKS"]  # a batch script around srun
    assert distributed_env(slurm) == DistributedEnv(0, 1, 0)


@pytest.mark.parametrize(
    ("nodes", "host"),
    [("node[01-04,07]", "node01"), ("gpu-3", "gpu-3"), ("a12,a13", "a12"), ("rack2-n[9,11]", "rack2-n9")],
)
def test_slurms_processes_meet_at_the_first_node(nodes, host):
    found = rendezvous({"SLURM_STEP_NODELIST": nodes, "SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0"})
    assert found["MASTER_ADDR"] == host
    assert 20_000 <= int(found["MASTER_PORT"]) < 40_000
    given = {"MASTER_ADDR": "here", "MASTER_PORT": "1234"}
    assert rendezvous(given) == given
