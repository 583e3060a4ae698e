"""No run is lost: whatever ends it, the same command makes it what it would have been."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import ROOT
from test_checkpoint import on_a_small_disk

from modernet.training.state import checkpoint

# All that draws random numbers or keeps a state is on; a checkpoint after every step.
AUGMENTED = ("recipe.mixup_alpha=0.8", "recipe.cutmix_alpha=1.0", "recipe.randaugment=9", "recipe.random_erasing_prob=0.25")
KEPT = ("recipe.drop_path_rate=0.3", "recipe.ema_decay=0.98", "recipe.epochs=3", "recipe.warmup_epochs=1")
RUN = ("train.py", "+step=convnext", *AUGMENTED, *KEPT, "wandb=disabled")
STEPS = 3 * 22
CLOCKED = ("train_seconds", "images_per_second")


def start(runs: Path, minutes: float = 0) -> subprocess.Popen[str]:
    command = [sys.executable, *RUN, f"runs={runs}", f"checkpoint_minutes={minutes}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(runs: Path, minutes: float = 0) -> Path:
    """Run to the end; the run's folder."""
    process = start(runs, minutes)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return Path(out.splitlines()[-1]).parent


def ended_after(runs: Path, step: int, number: int) -> tuple[int, str]:
    """Send a signal to a run once it has saved that step; its exit status and what it said."""
    process = start(runs)
    while not any(int(path.name.split("-")[1]) >= step for path in runs.rglob("checkpoint-*.pt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(number)
    _, err = process.communicate()
    return process.returncode, err


def outcome(folder: Path) -> tuple[dict, list[dict], dict]:
    """Record and metrics without what a clock says, and the weights."""
    record = json.loads((folder / "record.json").read_text())
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for values in (record, *epochs):
        for name in CLOCKED:
            del values[name]
    return record, epochs, torch.load(folder / "model.pt", weights_only=True)


def assert_same(one: Path, other: Path) -> None:
    """Bit for bit."""
    (record, epochs, weights), (record2, epochs2, weights2) = outcome(one), outcome(other)
    assert epochs == epochs2
    assert record == record2
    assert weights.keys() == weights2.keys() == {"model", "average"}
    for part, values in weights.items():
        assert all(torch.equal(value, weights2[part][name]) for name, value in values.items())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    return finish(tmp_path_factory.mktemp("uninterrupted"), minutes=60)


@pytest.mark.slow
def test_a_run_that_was_killed_again_and_again_ends_as_if_it_was_not(uninterrupted, tmp_path):
    moments = sorted(random.Random(0).sample(range(1, STEPS), 3))
    for step in moments:
        assert ended_after(tmp_path, step, signal.SIGKILL)[0] == -signal.SIGKILL
        assert not list(tmp_path.rglob("record.json"))
    folder = finish(tmp_path)
    assert_same(folder, uninterrupted)
    assert (folder / "train.log").read_text().count("going on from step") == len(moments)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in uninterrupted.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_within_a_step_and_exits_143(uninterrupted, tmp_path, number):
    status, err = ended_after(tmp_path, 9, number)
    assert status == 143, err
    assert f"stopped by {number.name}; the same command goes on from" in err
    assert "Traceback" not in err
    if number == signal.SIGTERM:
        assert_same(finish(tmp_path), uninterrupted)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(uninterrupted, tmp_path):
    ended_after(tmp_path, 30, signal.SIGKILL)
    folder = next(tmp_path.rglob("config.yaml")).parent
    newest = checkpoint.last(folder)
    assert newest is not None
    newest.write_bytes(newest.read_bytes()[:-1000])
    assert_same(finish(tmp_path), uninterrupted)
    assert f"{newest} was truncated or altered" in (folder / "train.log").read_text()


@pytest.mark.slow
def test_a_full_disk_ends_the_run_with_a_line_and_status_1(tmp_path):
    """13 MB hold one checkpoint (11 MB) and not two."""
    command = [sys.executable, *RUN, f"runs={tmp_path / 'disk'}", "checkpoint_minutes=0"]
    script = f"cd {ROOT} && {' '.join(repr(word) for word in command)}; echo $?; ls {tmp_path}/disk/digits/*"
    result = on_a_small_disk(tmp_path, ["sh", "-c", script], megabytes=13)
    status, *files = result.stdout.split()
    assert status == "1", result.stderr
    assert "no space is left on the disk" in result.stderr
    assert "Traceback" not in result.stderr
    assert sum(name.startswith("checkpoint-") and name.endswith(".pt") for name in files) == 1
    assert "record.json" not in files


def test_a_run_that_failed_says_why_and_is_tried_again_when_asked(train, tmp_path):
    wild = ("+step=gelu", "recipe.lr=1e30", "recipe.epochs=1", "recipe.warmup_epochs=0", "wandb=disabled")
    result = train(*wild)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    path = next(tmp_path.rglob("record.json"))
    record = json.loads(path.read_text())
    assert (record["status"], record["top1"], record["epochs"]) == ("failed", None, 0)
    assert re.search(r"of step \d is not finite, at learning rate .*; the last good checkpoint: none", record["reason"])
    written = path.stat().st_mtime_ns
    again = train(*wild)
    assert again.returncode == 1
    assert "retry_failed=true" in again.stderr
    assert path.stat().st_mtime_ns == written
    assert train(*wild, "retry_failed=true").returncode == 1
    assert path.stat().st_mtime_ns > written
