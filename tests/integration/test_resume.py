"""Resuming: whatever ends a process, the same command makes the run what it would have been.

tests/training/test_trainer.py stops runs at every kind of moment within one process; here real processes are ended.
"""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import RANDOM_IMAGES, ROOT, assert_identical_runs, run_command, run_on_small_disk

pytestmark = pytest.mark.xdist_group("resume")  # one process trains the uninterrupted run

# All that draws random numbers or keeps a state is on.
AUGMENTATION = ("recipe.mixup_alpha=0.8", "recipe.cutmix_alpha=1.0", "recipe.randaugment=9")
STATE = ("recipe.random_erasing_prob=0.25", "recipe.drop_path_rate=0.3", "recipe.ema_decay=0.98")
LENGTH = ("recipe.epochs=5", "recipe.warmup_epochs=1", "recipe.batch_size=16")
RUN = (
    "+step=convnext",
    "model.width=8",
    *AUGMENTATION,
    *STATE,
    *RANDOM_IMAGES,
    *LENGTH,
    "wandb=disabled",
    "device=cpu",
)
STEPS = 5 * 4
SAVE_EVERY_STEP = "checkpoint_minutes=0"


def train_to_the_end(runs: Path) -> Path:
    """Train to the end; the run's folder."""
    result = run_command("train", *RUN, f"runs={runs}")
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.splitlines()[-1]).parent


def end_after_step(runs: Path, step: int, number: signal.Signals) -> tuple[int, str]:
    """Send a signal to a run that has saved this step; its exit status and standard error."""
    command = [sys.executable, "train.py", *RUN, f"runs={runs}", SAVE_EVERY_STEP]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not any(int(path.name.split("-")[1]) >= step for path in runs.rglob("checkpoint-*.pt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(number)
    _, err = process.communicate()
    return process.returncode, err


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    return train_to_the_end(tmp_path_factory.mktemp("uninterrupted"))


def assert_killed_run_equals(uninterrupted: Path, runs: Path, steps: list[int]) -> None:
    """Kill the run after each of these steps, then train it to the end."""
    for step in steps:
        assert end_after_step(runs, step, signal.SIGKILL)[0] == -signal.SIGKILL
        assert not list(runs.rglob("record.json"))
    folder = train_to_the_end(runs)
    assert_identical_runs(folder, uninterrupted)
    assert (folder / "train.log").read_text().count("resuming from step") == len(steps)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in uninterrupted.iterdir())


def test_killed_run_equals_the_uninterrupted_one(uninterrupted, tmp_path):
    assert_killed_run_equals(uninterrupted, tmp_path, [random.Random(0).randrange(1, STEPS - 6)])


@pytest.mark.slow
def test_run_killed_five_times_equals_the_uninterrupted_one(uninterrupted, tmp_path):
    assert_killed_run_equals(uninterrupted, tmp_path, sorted(random.Random(1).sample(range(1, STEPS - 4), 5)))


# tests/runtime/test_signals.py covers the other signals quickly.
SIGNALS = [
    signal.SIGTERM,
    pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    pytest.param(signal.SIGUSR1, marks=pytest.mark.slow),
    pytest.param(signal.SIGUSR2, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_saves_after_the_current_step_and_exits_143(uninterrupted, tmp_path, number):
    status, err = end_after_step(tmp_path, 6, number)
    assert status == 143, err
    assert f"stopped by {number.name}; rerun the same command to resume from" in err
    assert "Traceback" not in err
    assert_identical_runs(train_to_the_end(tmp_path), uninterrupted)


@pytest.mark.slow
def test_full_disk_ends_the_run_with_one_line_and_status_1(tmp_path):
    """13 MB hold one checkpoint (11 MB) and not two."""
    command = [sys.executable, "train.py", *RUN, "model.width=24", f"runs={tmp_path / 'disk'}", SAVE_EVERY_STEP]
    script = f"cd {ROOT} && {' '.join(repr(word) for word in command)}; echo $?; ls {tmp_path}/disk/digits/*"
    result = run_on_small_disk(tmp_path, ["sh", "-c", script], megabytes=13)
    status, *files = result.stdout.split()
    assert status == "1", result.stderr
    assert "no space left on the disk" in result.stderr
    assert "Traceback" not in result.stderr
    assert sum(name.startswith("checkpoint-") and name.endswith(".pt") for name in files) == 1
    assert "record.json" not in files


def test_failed_run_is_trained_again_only_with_retry_failed(train_in_process, tmp_path):
    diverging = ("+step=gelu", *RANDOM_IMAGES, "recipe.batch_size=16", "recipe.lr=1e30", "recipe.epochs=1")
    train: Callable[..., subprocess.CompletedProcess[str]] = train_in_process
    result = train(*diverging, "recipe.warmup_epochs=0")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    path = next(tmp_path.rglob("record.json"))
    written = path.stat().st_mtime_ns
    again = train(*diverging, "recipe.warmup_epochs=0")
    assert again.returncode == 1
    assert "retry_failed=true" in again.stderr
    assert path.stat().st_mtime_ns == written
    assert train(*diverging, "recipe.warmup_epochs=0", "retry_failed=true").returncode == 1
    assert path.stat().st_mtime_ns > written
