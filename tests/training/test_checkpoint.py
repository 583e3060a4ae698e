"""Checkpoints: written whole or not at all, verified when they are read, the last two kept."""

import logging
import os
import sys

import pytest
import torch
from helpers import ready_trainer, run_on_small_disk

from modernet.errors import Interrupted, NonFiniteLoss
from modernet.runtime.distributed import DistributedEnv
from modernet.runtime.signals import ShutdownSignal
from modernet.training.checkpoint import (
    CheckpointManager,
    latest_checkpoint,
    load_checkpoint,
    remove_checkpoints,
    save_checkpoint,
    steps_done,
)
from modernet.training.metrics import LossMonitor


def small_state(step: int) -> dict:
    return {"step": step, "model": {"weight": torch.full((4,), float(step))}, "sums": [1.0, 2.0], "wandb": None}


def test_newest_of_two_kept_checkpoints_is_loaded(tmp_path):
    assert load_checkpoint(tmp_path) is None
    assert steps_done(tmp_path) == 0
    paths = [save_checkpoint(tmp_path, step, small_state(step)) for step in (3, 12, 100)]
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded["step"] == steps_done(tmp_path) == 100
    assert torch.equal(loaded["model"]["weight"], torch.full((4,), 100.0))
    assert latest_checkpoint(tmp_path) == paths[-1]
    assert sorted(tmp_path.iterdir()) == paths[1:]
    remove_checkpoints(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "altered", "emptied"])
def test_damaged_checkpoint_is_reported_and_the_previous_one_loaded(tmp_path, damage, caplog):
    save_checkpoint(tmp_path, 1, small_state(1))
    newest = save_checkpoint(tmp_path, 2, small_state(2))
    content = bytearray(newest.read_bytes())
    if damage == "altered":
        content[len(content) // 2] ^= 1
    newest.write_bytes({"truncated": content[:-10], "altered": content, "emptied": b""}[damage])
    with caplog.at_level(logging.WARNING, "modernet"):
        loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded["step"] == 1
    assert str(newest) in caplog.text


class MakesFolder:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("made",)


def test_loading_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path, 1, {"step": MakesFolder()})
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "made").exists()


FILL_DISK = """
import sys
from pathlib import Path
import torch
from modernet.training.checkpoint import load_checkpoint, save_checkpoint
folder = Path(sys.argv[1])
save_checkpoint(folder, 1, {"weight": torch.zeros(100_000)})
try:
    save_checkpoint(folder, 2, {"weight": torch.zeros(1_000_000)})
except OSError as error:
    print(error.strerror)
print(sorted(path.name[:20] for path in folder.iterdir()), list(load_checkpoint(folder)["weight"].shape))
"""


@pytest.mark.slow
def test_full_disk_keeps_the_last_good_checkpoint(tmp_path):
    result = run_on_small_disk(tmp_path, [sys.executable, "-c", FILL_DISK, str(tmp_path / "disk")], megabytes=2)
    expected = ["No space left on device", "['checkpoint-000000001'] [100000]"]
    assert result.stdout.splitlines() == expected, result.stderr


def test_manager_saves_after_a_step_only_when_due(tmp_path):
    with ready_trainer(tmp_path) as trainer:
        rare = CheckpointManager(tmp_path, 60, DistributedEnv(), ShutdownSignal())
        assert not rare.after_step(trainer.state, LossMonitor())
        assert latest_checkpoint(tmp_path) is None
        always = CheckpointManager(tmp_path, 0, DistributedEnv(), ShutdownSignal())
        assert always.after_step(trainer.state, LossMonitor())
        assert latest_checkpoint(tmp_path) is not None


def test_manager_saves_before_it_raises_for_a_signal(tmp_path):
    shutdown = ShutdownSignal()
    with ready_trainer(tmp_path) as trainer:
        manager = CheckpointManager(tmp_path, 60, DistributedEnv(), shutdown)
        shutdown.requested = "SIGTERM"
        with pytest.raises(Interrupted, match="stopped by SIGTERM; rerun the same command to resume from") as caught:
            manager.after_step(trainer.state, LossMonitor())
    assert str(latest_checkpoint(tmp_path)) in str(caught.value)


def test_non_finite_weights_are_never_saved(tmp_path):
    """Though the loss of their step was finite: an overflow breaks the weights one step before a loss shows it."""
    manager = CheckpointManager(tmp_path, 0, DistributedEnv(), ShutdownSignal())
    with ready_trainer(tmp_path) as trainer:
        assert manager.after_step(trainer.state, LossMonitor())
        good = latest_checkpoint(tmp_path)
        with torch.no_grad():
            trainer.state.model.classifier.weight[0, 0] = float("inf")
        with pytest.raises(NonFiniteLoss, match=rf"the weights after step 0 .* checkpoint: {good}"):
            manager.after_step(trainer.state, LossMonitor())
    assert latest_checkpoint(tmp_path) == good
