"""On a real Slurm of one node: job arrays, jobs that are warned and go on, and runs of several tasks."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT, run_script
from test_resume import CLOCKED

SCRIPT = ROOT / "scripts/slurm_test_cluster.sh"
STEPS = ("modern_recipe", "kernel_size", "gelu", "convnext")
SWEEP = ("-m", f"+step={','.join(STEPS)}", "recipe.epochs=3", "recipe.warmup_epochs=1")
SLURM = ("hydra/launcher=slurm", "hydra.launcher.gpus_per_node=null", "hydra.launcher.cpus_per_task=1")

PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged")
MARKS = (pytest.mark.slurm, pytest.mark.slow, pytest.mark.xdist_group("slurm"))


def on_slurm(test):
    """A test that needs the cluster."""
    for mark in MARKS:
        test = mark(test)
    return test


@pytest.fixture(scope="module")
def cluster():
    """The environment to reach it by."""
    if not all(map(shutil.which, PROGRAMS)) or os.geteuid() != 0:
        pytest.skip("needs root, and Debian's slurm-wlm and munge: apt-get install slurm-wlm munge")
    try:
        conf = subprocess.run([SCRIPT, "up"], capture_output=True, text=True, check=True).stdout.strip()
        yield {"SLURM_CONF": conf}
    finally:
        subprocess.run([SCRIPT, "down"], check=True)


def outcomes(runs: Path) -> dict[str, dict]:
    """Records by variant, without what a clock says."""
    records = [json.loads(path.read_text()) for path in runs.rglob("record.json")]
    return {record["variant"]: {k: v for k, v in record.items() if k not in CLOCKED} for record in records}


def started(runs: Path, step: str) -> Path:
    """The folder of a run, once it trains."""
    for _ in range(1200):
        for log in runs.glob(f"digits/{step}+*/train.log"):
            if "images a step" in log.read_text():
                return log.parent
        time.sleep(0.1)
    raise AssertionError(f"{step} did not start")


@on_slurm
def test_an_array_of_jobs_gives_the_records_of_this_machine_though_one_was_requeued(cluster, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    environment = os.environ | cluster
    command = [sys.executable, "train.py", *SWEEP, *SLURM, f"runs={there}"]
    sweep = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    folder = started(there, "gelu")
    squeue = ["squeue", "--noheader", "--array", "--format=%i"]
    (job,) = [
        line
        for line in subprocess.run(squeue, env=environment, capture_output=True, text=True, check=True).stdout.split()
        if line.endswith(f"_{STEPS.index('gelu')}")
    ]
    subprocess.run(["scancel", "--signal=USR1", job], env=environment, check=True)
    out, err = sweep.communicate()
    assert sweep.returncode == 0, err
    assert len(out.splitlines()) == len(STEPS)

    log = (folder / "train.log").read_text()
    assert "stopped by SIGUSR1" in log
    assert re.search(r"going on from step [1-9]", log)
    wandb = {path.name.rpartition("-")[2] for path in (folder / "wandb").glob("offline-run-*")}
    assert len(list((folder / "wandb").glob("offline-run-*"))) == 2
    assert len(wandb) == 1, "the same run for wandb"

    local = run_script("train.py", *SWEEP, f"runs={here}", "wandb=disabled")
    assert local.returncode == 0, local.stderr
    assert outcomes(there) == outcomes(here)


@on_slurm
def test_two_tasks_train_one_network(cluster, tmp_path):
    steady = ("+step=convnext", "data.crop_padding=0", "recipe.drop_path_rate=0", "recipe.epochs=1")
    for runs, more in ((tmp_path / "one", ()), (tmp_path / "two", (*SLURM, "hydra.launcher.tasks_per_node=2"))):
        how = ("-m", *steady, "recipe.warmup_epochs=0", *more, f"runs={runs}", "wandb=disabled")
        result = run_script("train.py", *how, environment=cluster)
        assert result.returncode == 0, result.stderr
    (one,), (two,) = (outcomes(tmp_path / name).values() for name in ("one", "two"))
    assert (one["machine"]["devices"], two["machine"]["devices"]) == (1, 2)
    assert two["val_loss"] == pytest.approx(one["val_loss"], rel=1e-4)


@on_slurm
def test_a_failed_job_is_reported_and_the_rest_run(cluster, tmp_path):
    how = ("recipe.epochs=1", "recipe.warmup_epochs=0", "wandb=disabled", f"runs={tmp_path}")
    result = run_script("train.py", "-m", "+step=gelu", "recipe.lr=1e30,0.004", *how, *SLURM, environment=cluster)
    assert result.returncode == 1
    assert len(result.stdout.splitlines()) == 1
    assert "is not finite" in result.stderr
    assert "1 of 2 runs are not done" in result.stderr


@on_slurm
@pytest.mark.parametrize("field", ["partition=none", "gpus_per_node=8", "nodes=9"])
def test_what_the_cluster_does_not_have_is_a_line_and_status_2(cluster, tmp_path, field):
    how = ("-m", "seed=0,1", *SLURM, f"hydra.launcher.{field}", f"runs={tmp_path / 'runs'}")
    result = run_script("train.py", *how, environment=cluster)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert "Slurm takes no job of" in result.stderr
    assert f"hydra.launcher.{field}" in result.stderr
    assert not (tmp_path / "runs/digits").exists()


def test_a_cluster_that_is_not_there_is_a_line_and_status_2(tmp_path):
    how = ("-m", "seed=0,1", *SLURM, f"runs={tmp_path / 'runs'}")
    nowhere = {"PATH": str(tmp_path), "SLURM_CONF": str(tmp_path / "none")}
    result = run_script("train.py", *how, environment=nowhere)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "there is no sbatch here" in result.stderr
    if shutil.which("sbatch"):
        result = run_script("train.py", *how, environment={"SLURM_CONF": str(tmp_path / "none")})
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert "Slurm's controller does not answer" in result.stderr
    assert not (tmp_path / "runs/digits").exists()
