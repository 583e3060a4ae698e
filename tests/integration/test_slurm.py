"""A real Slurm cluster of one node: job arrays, requeued jobs that resume, and runs of several tasks."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT, run_command, run_script, without_clock

SCRIPT = ROOT / "scripts/slurm_test_cluster.sh"
STEPS = ("modern_recipe", "gelu", "convnext")
SWEEP = ("-m", f"+step={','.join(STEPS)}", "recipe.epochs=3", "recipe.warmup_epochs=1")
QUICK = ("recipe.epochs=1", "recipe.warmup_epochs=0", "wandb=disabled")
SLURM = ("hydra/launcher=slurm", "hydra.launcher.gpus_per_node=null", "hydra.launcher.cpus_per_task=1")

PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged")
MARKS = (pytest.mark.slurm, pytest.mark.slow, pytest.mark.xdist_group("slurm"))


def needs_cluster(test):
    """Mark a test that uses the cluster."""
    for mark in MARKS:
        test = mark(test)
    return test


@pytest.fixture(scope="module")
def cluster():
    """The environment variables by which commands reach the cluster."""
    if not all(map(shutil.which, PROGRAMS)) or os.geteuid() != 0:
        pytest.skip("needs root, and Debian's slurm-wlm and munge: apt-get install slurm-wlm munge")
    conf = subprocess.run([SCRIPT, "up"], capture_output=True, text=True, check=True).stdout.strip()
    yield {"SLURM_CONF": conf}
    subprocess.run([SCRIPT, "down"], env=os.environ | {"SLURM_CONF": conf}, check=True)


def load_records(runs: Path) -> dict[str, dict]:
    """Records by variant, without what depends on the clock."""
    records = [json.loads(path.read_text()) for path in runs.rglob("record.json")]
    return {record["variant"]: without_clock(record) for record in records}


def load_seeds(runs: Path) -> dict[int, dict]:
    """Records by seed, without what depends on the clock."""
    records = [json.loads(path.read_text()) for path in runs.rglob("record.json")]
    return {record["seed"]: without_clock(record) for record in records}


def wait_for_training(runs: Path, step: str) -> Path:
    """The folder of a run, once it trains."""
    for _ in range(1200):
        for log in runs.glob(f"digits/{step}+*/train.log"):
            if "images per step" in log.read_text():
                return log.parent
        time.sleep(0.1)
    raise AssertionError(f"{step} did not start")


@needs_cluster
def test_job_array_gives_the_records_of_this_machine_although_a_job_was_requeued(cluster, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    environment = os.environ | cluster
    command = [sys.executable, "train.py", *SWEEP, *SLURM, f"runs={there}"]
    sweep = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    folder = wait_for_training(there, "gelu")
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
    assert "3 runs: 3 to train by Slurm as modernet-" in err
    assert len(re.findall(r"^done [123]/3: .* top-1 [\d.]+ %, [\d.]+ s$", err, re.MULTILINE)) == len(STEPS)

    log = (folder / "train.log").read_text()
    assert "stopped by SIGUSR1" in log
    assert re.search(r"resuming from step [1-9]", log)
    wandb = [path.name.rpartition("-")[2] for path in (folder / "wandb").glob("offline-run-*")]
    assert len(wandb) == 2
    assert len(set(wandb)) == 1, "the same run for wandb"

    local = run_script("train.py", *SWEEP, f"runs={here}", "wandb=disabled")
    assert local.returncode == 0, local.stderr
    assert load_records(there) == load_records(here)


@needs_cluster
def test_killed_jobs_and_a_killed_sweep_lose_no_run(cluster, tmp_path):
    """The first sweep is killed while its jobs train, then one of the jobs; the same command gets all records."""
    here, there = tmp_path / "here", tmp_path / "there"
    environment = os.environ | cluster
    sweep = ("-m", "+step=gelu", "seed=0,1", "recipe.epochs=3", "recipe.warmup_epochs=1", "wandb=disabled")
    command = [sys.executable, "train.py", *sweep, *SLURM, f"runs={there}"]
    first = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_training(there, "gelu")
    first.kill()
    first.wait()
    squeue = ["squeue", "--noheader", "--array", "--states=RUNNING", "--format=%i"]
    running = subprocess.run(squeue, env=environment, capture_output=True, text=True, check=True).stdout.split()
    subprocess.run(["scancel", "--signal=KILL", running[0]], env=environment, check=True)
    for _ in range(600):
        if not subprocess.run(squeue[:2], env=environment, capture_output=True, text=True, check=True).stdout.strip():
            break
        time.sleep(0.2)

    again = run_script(*command[1:], environment=cluster)
    assert again.returncode == 0, again.stderr
    assert len(again.stdout.splitlines()) == 2
    local = run_script("train.py", *sweep, f"runs={here}")
    assert local.returncode == 0, local.stderr
    assert load_seeds(there) == load_seeds(here)


@needs_cluster
def test_two_tasks_train_one_network(cluster, tmp_path):
    deterministic = ("+step=convnext", "recipe.micro_batch_size=32", *QUICK)
    for runs, launcher in ((tmp_path / "one", ()), (tmp_path / "two", (*SLURM, "hydra.launcher.tasks_per_node=2"))):
        result = run_script("train.py", "-m", *deterministic, *launcher, f"runs={runs}", environment=cluster)
        assert result.returncode == 0, result.stderr
    (one,), (two,) = (load_records(tmp_path / name).values() for name in ("one", "two"))
    assert (one["machine"]["devices"], two["machine"]["devices"]) == (1, 2)
    assert two["val_loss"] == pytest.approx(one["val_loss"], rel=1e-4)


@needs_cluster
def test_a_failed_job_is_reported_and_the_others_run(cluster, tmp_path):
    sweep = ("-m", "+step=gelu", "recipe.lr=1e30,0.004", *QUICK, f"runs={tmp_path}")
    result = run_script("train.py", *sweep, *SLURM, environment=cluster)
    assert result.returncode == 1
    assert len(result.stdout.splitlines()) == 1
    assert "is not finite" in result.stderr
    assert "1 of 2 runs are not done" in result.stderr


@needs_cluster
@pytest.mark.parametrize("field", ["partition=none", "gpus_per_node=8", "nodes=9"])
def test_what_the_cluster_does_not_have_is_one_line_and_status_2(cluster, tmp_path, field):
    layout = ("recipe.batch_size=90", "recipe.micro_batch_size=10")  # fits nine nodes
    arguments = ("-m", "seed=0,1", *layout, *SLURM, f"hydra.launcher.{field}", f"runs={tmp_path / 'runs'}")
    result = run_command("train", *arguments, environment=cluster)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert "Slurm refuses a job of" in result.stderr
    assert f"hydra.launcher.{field}" in result.stderr
    assert not (tmp_path / "runs/digits").exists()


def test_a_machine_without_slurm_is_one_line_and_status_2(tmp_path):
    arguments = ("-m", "seed=0,1", *SLURM, f"runs={tmp_path / 'runs'}")
    result = run_command("train", *arguments, environment={"PATH": str(tmp_path)})
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "this machine has no sbatch" in result.stderr
    assert not (tmp_path / "runs/digits").exists()


@pytest.mark.skipif(not shutil.which("sbatch"), reason="needs Debian's slurm-wlm: apt-get install slurm-wlm")
def test_a_controller_that_does_not_answer_is_one_line_and_status_2(tmp_path):
    conf = tmp_path / "slurm.conf"
    host = "SlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort=9"  # where nothing listens
    conf.write_text(f"ClusterName=nowhere\n{host}\nAuthType=auth/none\nMessageTimeout=2\n")
    arguments = ("-m", "seed=0,1", *SLURM, f"runs={tmp_path / 'runs'}")
    result = run_command("train", *arguments, environment={"SLURM_CONF": str(conf)})
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert "Slurm's controller does not answer" in result.stderr
    assert not (tmp_path / "runs/digits").exists()


@pytest.mark.parametrize("missing", ["hydra_plugins/hydra_submitit_launcher/__init__.py", "submitit.py"])
def test_a_missing_package_is_one_line_that_says_what_to_install(tmp_path, missing):
    module = tmp_path / "missing" / missing
    module.parent.mkdir(parents=True)
    module.write_text("" if "hydra_plugins" in missing else "raise ImportError('not installed')")
    path = os.pathsep.join([str(tmp_path / "missing"), os.environ.get("PYTHONPATH", "")])
    arguments = ("-m", "seed=0,1", *SLURM, f"runs={tmp_path / 'runs'}")
    result = run_script("train.py", *arguments, environment={"PYTHONPATH": path})
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert result.stderr.endswith("pip install 'modernet[slurm]'\n")
    assert not (tmp_path / "runs/digits").exists()
