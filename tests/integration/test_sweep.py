"""Sweeps: validated before they start, reported while they run, and not stopped by a run that fails or dies."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import RANDOM_IMAGES, ROOT, run_command, without_clock
from ranks import Process, wait_for
from ranks import start as start_process

from modernet.errors import RunLocked
from modernet.runtime.file_names import LOCK_FILE, RECORD_FILE
from modernet.runtime.lock import is_locked, lock_holder, run_lock
from modernet.sweeps.estimate import Throughput
from modernet.sweeps.workers import runs_at_once
from modernet.training import folder as training_folder
from modernet.training import loop, trainer

QUICK = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=350")
DIVERGING = "recipe.lr=1e30"
TWO_AT_ONCE = "hydra.launcher.n_jobs=2"


def load_records(runs: Path) -> dict[str, dict]:
    """Records by folder, without what depends on the clock."""
    records = {path.parent.name: json.loads(path.read_text()) for path in runs.rglob(RECORD_FILE)}
    return {name: without_clock(record) for name, record in records.items()}


def start(runs: Path, *arguments: str) -> Process:
    return start_process([sys.executable, "train.py", *arguments, f"runs={runs}", "wandb=disabled"])


def training(runs: Path) -> list[Path]:
    """Folders of unfinished runs that have started."""
    logs = [log for log in runs.rglob("train.log") if "images per step" in log.read_text()]
    return [log.parent for log in logs if not (log.parent / RECORD_FILE).exists()]


def test_failed_runs_are_reported_and_the_others_run(train_in_process, tmp_path):
    sweep = ("-m", "+step=gelu", f"{DIVERGING},0.004", *QUICK)
    result = train_in_process(*sweep)
    assert result.returncode == 1
    (path,) = result.stdout.splitlines()
    assert json.loads(Path(path).read_text())["config"]["recipe"]["lr"] == 0.004
    *_, reason, last = result.stderr.splitlines()
    assert reason.startswith("gelu+recipe.lr=1e+30")
    assert re.search(": the loss of step [12] is not finite", reason)
    assert last == "train.py: error: 1 of 2 runs are not done, for the reasons above"
    assert "Traceback" not in result.stderr

    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob(RECORD_FILE)}
    again = train_in_process(*sweep)
    assert again.returncode == 1
    assert again.stdout == result.stdout
    assert again.stderr.splitlines() == ["2 runs: 1 done, 1 failed, 0 to train", reason, last]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob(RECORD_FILE)} == written
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "train.py", *sweep, f"runs={tmp_path / 'runs'}", "wandb=disabled"]
    unread = subprocess.run(words, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (unread.returncode, unread.stderr) == (1, again.stderr), "the reader of stdout ended before"
    assert "2 runs: 1 done, 1 to train" in train_in_process(*sweep, "retry_failed=true").stderr


def test_a_value_of_the_command_line_is_kept_where_the_ablated_step_sets_the_same(train_in_process):
    result = train_in_process("-m", "+step=gelu", "ablate=kernel_size", "model.kernel_size=3,7", *QUICK)
    assert result.returncode == 0, result.stderr
    configs = [json.loads(Path(path).read_text())["config"] for path in result.stdout.splitlines()]
    assert [config["model"]["kernel_size"] for config in configs] == [3, 7]


def test_a_log_has_one_line_per_finished_run_and_the_warnings(train_in_process, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # it cannot be imported, which is a warning
    result = train_in_process("-m", "+step=gelu", f"{DIVERGING},0.004", *QUICK, "wandb=offline")
    changes = r"\+recipe.batch_size=350\+recipe.epochs=1\+recipe.warmup_epochs=0.0"
    warning = "wandb could not start (import of wandb halted; None in sys.modules); training continues without it"
    expected = [
        "2 runs: 2 to train",
        rf"gelu\+recipe.lr=1e\+30{changes}-s0: {re.escape(warning)}",
        rf"done 0/2, failed 1: gelu\+recipe.lr=1e\+30{changes}, seed 0, digits: failed: the loss of step \d .*",
        rf"gelu{changes}-s0: {re.escape(warning)}",
        rf"done 1/2, failed 1: gelu{changes}, seed 0, digits: top-1 \d+\.\d %, \d+\.\d s",
        rf"gelu\+recipe.lr=1e\+30{changes}, seed 0, digits: the loss of step \d .*",
        "train.py: error: 1 of 2 runs are not done, for the reasons above",
    ]
    lines = result.stderr.splitlines()
    assert len(lines) == len(expected), result.stderr
    for pattern in expected:  # a line of the sweep may come after a later warning of a run
        assert any(re.fullmatch(pattern, line) for line in lines), (pattern, lines)
    assert ["epoch 1: " in log.read_text() for log in sorted(tmp_path.rglob("train.log"))].count(True) == 1


def test_a_terminal_has_one_status_line(tmp_path):
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))  # rows, columns
    sweep = ("-m", "+step=gelu", "seed=0,1", "recipe.epochs=6", f"runs={tmp_path}", "wandb=offline")
    process = subprocess.Popen(
        [sys.executable, "train.py", *sweep], cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    content = b""
    while True:
        try:
            content += os.read(ours, 65_536)
        except OSError:  # the process has closed its side
            break
    os.close(ours)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert len(out.splitlines()) == 2
    lines = [line for line in content.decode().replace("\r\n", "\n").split("\n") if line.strip()]
    assert lines[0] == "2 runs: 2 to train"
    assert len(lines) == 2
    states = [state.strip() for state in lines[1].split("\r") if state.strip()]
    assert states[0] == "done 0/2, running 0, ETA ?"
    at_once = min(runs_at_once("auto", "auto"), 2)
    assert any(f"running {at_once}" in state for state in states)
    assert re.fullmatch(r"done 2/2 in \d+:\d\d", states[-1])


def test_an_unexpected_error_is_recorded(train_in_process, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "evaluate", lambda *_: 1 / 0)
    result = train_in_process("-m", "+step=gelu", "seed=0,1", *QUICK)
    assert result.returncode == 1
    reasons = [record["reason"] for record in load_records(tmp_path).values()]
    assert reasons == ["ZeroDivisionError: division by zero"] * 2
    assert all("ZeroDivisionError" in log.read_text() for log in tmp_path.rglob("train.log"))


@pytest.mark.slow
def test_two_runs_at_once_give_the_records_of_one_after_the_other(tmp_path):
    sweep = ("-m", "+step=modern_recipe,convnext", "seed=0,1", *QUICK, "wandb=disabled")
    one = run_command("train", *sweep, "hydra/launcher=basic", f"runs={tmp_path / 'one'}")
    assert one.returncode == 0, one.stderr
    out, err = start(tmp_path / "two", *sweep, TWO_AT_ONCE).communicate()
    assert len(out.splitlines()) == len(one.stdout.splitlines()) == 4, err
    assert err.count("done ") == 4
    assert load_records(tmp_path / "two") == load_records(tmp_path / "one")


def test_a_finished_study_prints_its_records_without_torch(train, train_in_process, tmp_path):
    """Without -m; values of the command line replace those of the study."""
    study = ("+study=kernels", "model.kernel_size=3,7", *QUICK)
    first = train_in_process(*study)
    assert first.returncode == 0, first.stderr
    records = [json.loads(Path(path).read_text()) for path in first.stdout.splitlines()]
    assert [record["step"] for record in records] == ["move_up_depthwise", "kernel_size"]
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    again = train(*study, PYTHONPATH=str(tmp_path))
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert again.stderr == "2 runs: 2 done, 0 to train\n"


@pytest.mark.slow
def test_a_run_is_trained_by_one_process_at_a_time(train, tmp_path):
    arguments = ("+step=gelu", "recipe.epochs=40")
    first = start(tmp_path / "runs", *arguments)
    (folder,) = wait_for(lambda: training(tmp_path / "runs"), first)
    second = train(*arguments)
    assert second.returncode == 1
    assert f"is being trained by process {first.pid} on " in second.stderr
    assert len(second.stderr.splitlines()) == 1
    first.send_signal(signal.SIGKILL)
    first.communicate()
    third = start(tmp_path / "runs", *arguments)
    wait_for(lambda: lock_holder(folder) == third.pid, third)
    third.send_signal(signal.SIGTERM)
    third.communicate()
    assert third.returncode == 143


def test_lock_is_held_once_and_a_finished_run_has_none(tmp_path, train_in_process):
    with run_lock(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(RunLocked, match=f"is being trained by process {os.getpid()} on"), run_lock(tmp_path):
            pass
    assert not is_locked(tmp_path)
    with run_lock(tmp_path):
        pass
    assert train_in_process("+step=gelu", *QUICK).returncode == 0
    assert not list((tmp_path / "runs").rglob(LOCK_FILE))


@pytest.mark.parametrize("sweep", [(), ("-m",)])
def test_leftovers_of_a_process_killed_after_its_record_are_removed(tmp_path, train_in_process, sweep):
    """Unless a process holds the lock: it is about to remove them."""
    folder = Path(train_in_process(*RANDOM_IMAGES, *QUICK, "recipe.batch_size=32").stdout.strip()).parent
    files = sorted(folder.iterdir())
    leftovers = [folder / name for name in ("checkpoint-000000002-0123456789abcdef.pt", ".lock", ".holder")]
    for path in leftovers:
        path.write_text("left")
    with run_lock(folder):
        assert train_in_process(*sweep, *RANDOM_IMAGES, *QUICK, "recipe.batch_size=32").returncode == 0
        assert all(path.exists() for path in leftovers)
    assert train_in_process(*sweep, *RANDOM_IMAGES, *QUICK, "recipe.batch_size=32").returncode == 0
    assert sorted(folder.iterdir()) == files


@pytest.mark.parametrize("option", ["--wait", "wait=true"])
def test_a_run_that_fails_while_others_wait_for_it_is_trained_once(tmp_path, train_in_process, monkeypatch, option):
    arguments = (*RANDOM_IMAGES, *QUICK, "recipe.batch_size=32", DIVERGING)
    assert train_in_process(*arguments).returncode == 1
    (path,) = tmp_path.rglob(RECORD_FILE)
    content = path.read_bytes()
    path.unlink()
    with ExitStack() as other_process:
        other_process.enter_context(run_lock(path.parent))

        def fail_meanwhile(seconds: float) -> None:
            path.write_bytes(content)
            other_process.close()

        monkeypatch.setattr(training_folder, "time", SimpleNamespace(sleep=fail_meanwhile))
        with monkeypatch.context() as patched:
            patched.setattr(trainer, "fit", None)  # nothing is trained
            result = train_in_process(*arguments, option)
    assert result.returncode == 1
    waiting, error = result.stderr.splitlines()
    assert waiting.startswith(f"waiting: {path.parent} is being trained by process {os.getpid()} on ")
    assert error.endswith(f"({path}); retry_failed=true trains it again")
    assert path.read_bytes() == content


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_a_stopped_sweep_saves_what_it_trains_and_starts_nothing_else(tmp_path, send, number):
    """Also where all its processes are signalled, as `timeout`, Ctrl-C and Slurm do."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
    process = start(tmp_path, "-m", "+step=gelu", "seed=0,1,2,3", "recipe.epochs=10", TWO_AT_ONCE)
    signal.signal(signal.SIGHUP, before)
    wait_for(lambda: len(training(tmp_path)) == 2, process)
    send(process.pid, number)
    _, err = process.communicate()
    assert process.returncode == 143, err
    assert f"stopped by {number.name}; rerun the same command to go on" in err
    stopped = training(tmp_path)
    assert len(stopped) == 2
    assert all(list(folder.glob("checkpoint-*.pt")) for folder in stopped)
    assert not any(is_locked(folder) for folder in stopped)


@pytest.mark.slow
def test_a_process_that_dies_ends_no_other_run(tmp_path):
    process = start(tmp_path, "-m", "+step=gelu", "seed=0,1,2", *QUICK, "recipe.epochs=6", TWO_AT_ONCE)
    folder = wait_for(lambda: training(tmp_path), process)[0]
    holder = lock_holder(folder)
    assert holder
    os.kill(holder, signal.SIGKILL)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert len(out.splitlines()) == 3
    assert "a run's process died" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "+step=gelu,inverted,convnext"], "there is no step 'inverted'"),
        (["-m", "model.kernal_size=3,5"], "there is no field 'model.kernal_size'"),
        (["-m", "model.kernel_size=3,4,5"], "model.kernel_size must be odd to keep the size, got 4"),
        (["-m", "+step=gelu,patchify_stem", "ablate=gelu"], "patchify_stem does not include the step 'gelu'"),
        (["-m", "seed=0,1,-1"], "seed must be an integer, 0 or more, got -1"),
        (["-m", "device=cpu", "amp=off,half"], "amp: input should be 'auto', 'bf16' or 'off', got 'half'"),
        (["-m", "seed=range(0,3"], "cannot be parsed"),
        (
            ["-m", "hydra/launcher=ray", "seed=0,1"],
            "there is no hydra/launcher 'ray'; allowed: basic, joblib, local, slurm",
        ),
        (
            ["-m", "hydra.launcher.n_jobs=0", "seed=0,1"],
            "hydra.launcher.n_jobs must be auto or an integer above 0, got 0",
        ),
        (["+study=all", "seed=0,1"], "there is no study 'all'; allowed: add_one_in, beyond, budget, kernels"),
        (["+study=kernels", "seed=0,1", "protocol=cifar"], "there is no protocol 'cifar'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_in_any_run_is_one_line_and_status_2_and_nothing_starts(
    train_in_process, tmp_path, arguments, message
):
    result = train_in_process(*arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert message in result.stderr
    assert [path.name for path in (tmp_path / "runs").glob("*") if path.name != ".sweep"] == []


@pytest.mark.parametrize(
    ("study", "runs", "variant"),
    [
        ("kernels", 5 * 2, "move_up_depthwise+kernel_size=11, seed 1, cifar10_micro"),
        ("leave_one_out", (1 + 13) * 2, "convnext+act=relu, seed 1, cifar10_micro"),
        ("add_one_in", (1 + 13) * 2, "modern_recipe+act=gelu, seed 1, cifar10_micro"),
    ],
)
def test_a_study_is_one_argument(study, runs, variant, tmp_path, monkeypatch):
    monkeypatch.setattr(Throughput, "images_per_second", lambda *_: (1.0, "GMACs"))
    result = run_command("plan", f"+study={study}", "protocol=cifar10_micro", "seed=0,1", f"runs={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert f"{runs} runs, {runs} to train" in result.stdout
    assert variant in result.stdout


def test_a_study_of_the_users_own_is_one_argument(train_in_process, tmp_path):
    folder = tmp_path / "configs/study"
    folder.mkdir(parents=True)
    study = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {+step: gelu, seed: '3,4'}}}\n"
    (folder / "mine.yaml").write_text(study)
    variables = {"MODERNET_CONFIG_DIR": ""}  # restored after the test
    result = train_in_process("--config-dir", tmp_path / "configs", "+study=mine", *QUICK, **variables)
    assert result.returncode == 0, result.stderr
    assert [json.loads(Path(path).read_text())["seed"] for path in result.stdout.splitlines()] == [3, 4]
