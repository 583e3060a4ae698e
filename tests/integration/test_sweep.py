"""Sweeps: checked before they start, found when they are done, and not brought down by a bad run."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT, run_script
from test_resume import CLOCKED
from test_train import leavings

from modernet.runtime import lock
from modernet.errors import RunLocked

QUICK = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=256", "wandb=disabled")
WILD = "recipe.lr=1e30"  # diverges at once


def records(runs: Path) -> dict[str, dict]:
    """By folder, without what a clock says."""
    found = {path.parent.name: json.loads(path.read_text()) for path in runs.rglob("record.json")}
    return {name: {k: v for k, v in one.items() if k not in CLOCKED} for name, one in found.items()}


def popen(runs: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "train.py", *arguments, f"runs={runs}", "wandb=disabled"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(found, process: subprocess.Popen[str], seconds: float = 120):
    """What `found` gives as soon as it is true."""
    for _ in range(int(seconds / 0.02)):
        if value := found():
            return value
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError("it took too long")


def training(runs: Path) -> list[Path]:
    """Folders of runs that are past their first lines."""
    logs = [log for log in runs.rglob("train.log") if "images a step" in log.read_text()]
    return [log.parent for log in logs if not (log.parent / "record.json").exists()]


def test_a_bad_run_is_reported_with_its_reason_and_the_rest_run(train, tmp_path):
    sweep = ("-m", "+step=gelu", f"{WILD},0.004", "seed=0,1", *QUICK)
    result = train(*sweep)
    assert result.returncode == 1
    assert [json.loads((ROOT / path).read_text())["seed"] for path in result.stdout.splitlines()] == [0, 1]
    told = [line for line in result.stderr.splitlines() if line.startswith("gelu+recipe.lr=1e+30") and ": the" in line]
    assert len(told) == 2
    assert all("of step 1 is not finite" in line or "of step 2 is not finite" in line for line in told)
    assert result.stderr.splitlines()[-1] == "train.py: error: 2 of 4 runs are not done, for the reasons above"
    assert "Traceback" not in result.stderr

    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("record.json")}
    again = train(*sweep)
    assert again.returncode == 1
    assert "4 runs: 2 done, 2 failed, 0 to train" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("record.json")} == written
    assert "4 runs: 2 done, 2 to train" in train(*sweep, "retry_failed=true").stderr


def test_whatever_breaks_a_run_is_recorded(train, tmp_path):
    """Here its metrics cannot be written, as a folder lies in their place."""
    assert train("+step=gelu", *QUICK).returncode == 0
    folder = next(tmp_path.rglob("record.json")).parent
    for name in ("record.json", "metrics.jsonl", "model.pt"):
        (folder / name).unlink()
    broken = "import modernet.training.loop as fit\nfit.evaluate = lambda *_: 1 / 0\n"
    (tmp_path / "sitecustomize.py").write_text(broken)
    result = train("-m", "+step=gelu", "seed=0,1", *QUICK, PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    reasons = [record["reason"] for record in records(tmp_path).values()]
    assert reasons == ["ZeroDivisionError: division by zero"] * 2
    assert "ZeroDivisionError" in (folder / "train.log").read_text()


@pytest.mark.slow
def test_joblib_gives_the_records_of_the_serial_launcher(train, tmp_path):
    sweep = ("-m", "+step=modern_recipe,kernel_size,convnext", "seed=0,1", *QUICK)
    for launcher in ("basic", "joblib"):
        command = ("train.py", *sweep, f"hydra/launcher={launcher}", f"runs={tmp_path / launcher}")
        result = run(*command)
        assert result.returncode == 0, result.stderr
        assert len(result.stdout.splitlines()) == 6
    assert records(tmp_path / "joblib") == records(tmp_path / "basic")


def test_a_finished_sweep_is_found_without_torch(train, tmp_path):
    sweep = ("-m", "+step=gelu,kernel_size", "seed=0,1", *QUICK)
    first = train(*sweep, "hydra/launcher=joblib")
    assert first.returncode == 0, first.stderr
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    again = train(*sweep, PYTHONPATH=str(tmp_path))
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert "4 runs: 4 done, 0 to train" in again.stderr
    # The names of a step are many, its run is one.
    assert len(train("-m", "+step=gelu", "ablate=[],gelu", *QUICK, PYTHONPATH=str(tmp_path)).stdout.splitlines()) == 2


@pytest.mark.slow
def test_of_two_processes_one_trains_a_run_and_the_other_leaves(train, tmp_path):
    long = ("+step=gelu", "recipe.epochs=40")
    first = popen(tmp_path / "runs", *long)
    (folder,) = wait_for(lambda: training(tmp_path / "runs"), first)
    second = train(*long)
    assert second.returncode == 1
    assert f"is being trained by process {first.pid} on " in second.stderr
    assert len(second.stderr.splitlines()) == 1
    first.send_signal(signal.SIGKILL)
    first.communicate()
    third = popen(tmp_path / "runs", *long)
    wait_for(lambda: lock.holder(folder) == third.pid, third)
    third.send_signal(signal.SIGTERM)
    third.communicate()
    assert third.returncode == 143


def test_a_lock_is_held_once_and_a_finished_run_has_none(tmp_path, train):
    with lock.held(tmp_path):
        assert lock.is_held(tmp_path)
        with pytest.raises(RunLocked, match=f"is being trained by process {os.getpid()} on"), lock.held(tmp_path):
            pass
    assert not lock.is_held(tmp_path)
    with lock.held(tmp_path):
        pass
    assert train("+step=gelu", *QUICK).returncode == 0
    assert not list((tmp_path / "runs").rglob(lock.NAME))


@pytest.mark.slow
def test_a_sweep_that_is_stopped_saves_all_it_trains_and_starts_nothing_else(tmp_path):
    sweep = ("-m", "+step=gelu", "seed=0,1,2,3", "recipe.epochs=10", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    process = popen(tmp_path, *sweep)
    wait_for(lambda: len(training(tmp_path)) == 2, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 143, err
    stopped = training(tmp_path)
    assert len(stopped) == 2
    assert all(list(folder.glob("checkpoint-*.pt")) for folder in stopped)
    assert not any(lock.is_held(folder) for folder in stopped)


@pytest.mark.slow
def test_a_process_that_dies_takes_no_other_run_with_it(tmp_path):
    sweep = ("-m", "+step=gelu", "seed=0,1,2", "recipe.epochs=3", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    process = popen(tmp_path, *sweep)
    folder = wait_for(lambda: training(tmp_path), process)[0]
    holder = lock.holder(folder)
    assert holder
    os.kill(holder, signal.SIGKILL)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert len(out.splitlines()) == 3
    assert "a run's process died" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["+step=gelu,inverted,convnext"], "there is no step 'inverted'"),
        (["model.kernal_size=3,5"], "there is no field 'model.kernal_size'"),
        (["model.kernel_size=3,4,5"], "model.kernel_size must be odd to keep the size, got 4"),
        (["+step=gelu,patchify_stem", "ablate=gelu"], "without names 'gelu', which patchify_stem is not made of"),
        (["seed=0,1,-1"], "seed must be an integer, 0 or more, got -1"),
        (["device=cpu", "amp=off,half"], "amp: input should be 'auto', 'bf16' or 'off', got 'half'"),
        (["seed=range(0,3"], "no viable alternative at input"),
        (["hydra/launcher=ray", "seed=0,1"], "there is no hydra/launcher 'ray'; allowed: basic, joblib, slurm"),
        (["hydra.launcher.n_jobs=2", "seed=0,1"], "hydra.launcher.n_jobs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_anywhere_in_a_sweep_is_a_line_and_status_2_and_nothing_starts(train, tmp_path, arguments, message):
    result = train("-m", *arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert message in result.stderr
    assert leavings(tmp_path / "runs") == []


@pytest.mark.parametrize(("target", "runs"), [("roadmap", 15 * 2), ("kernels", 5 * 2), ("leave-one-out", (1 + 13) * 2)])
def test_a_study_is_one_command(target, runs, tmp_path):
    """What make would run, given to the plan."""
    environment = os.environ | {"MAKEFLAGS": ""}
    made = ["make", "-n", target, "PROTOCOL=cifar10_micro", "SEEDS=0,1", "LAUNCHER=basic"]
    lines = subprocess.run(made, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    (command,) = [shlex.split(line.partition(" ; ")[0]) for line in lines.splitlines() if "train.py" in line]
    overrides = command[command.index("train.py") + 1 :]
    planned = run_script("scripts/plan.py", *overrides, f"runs={tmp_path}").stdout
    assert f"{runs} runs, {runs} of them to train" in planned
    assert ("convnext+act=relu, seed 1, cifar10_micro" in planned) == (target == "leave-one-out")
