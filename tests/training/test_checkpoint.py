"""When a run saves a checkpoint, stops or ends with an error."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import execution_config, random_images, ready_trainer, short_experiment

from modernet.errors import Interrupted, NonFiniteLoss
from modernet.runtime.distributed import DistributedEnv
from modernet.runtime.signals import ShutdownSignal
from modernet.training import checkpoint, metrics
from modernet.training.checkpoint import CheckpointManager
from modernet.training.checkpoint_files import (
    RunIdentity,
)
from modernet.training.leftovers import latest_checkpoint
from modernet.training.metrics import HostCopy, LossMonitor

RUN = RunIdentity("0123456789", 0)


def test_manager_saves_after_a_step_only_when_due(tmp_path):
    with ready_trainer(tmp_path) as trainer:
        rare = CheckpointManager(tmp_path, 60, DistributedEnv(), ShutdownSignal(), RUN)
        assert not rare.after_step(trainer.state, LossMonitor())
        assert latest_checkpoint(tmp_path) is None
        always = CheckpointManager(tmp_path, 0, DistributedEnv(), ShutdownSignal(), RUN)
        assert always.after_step(trainer.state, LossMonitor())
        assert latest_checkpoint(tmp_path) is not None


@pytest.mark.parametrize("minutes", [0.0, 5.0])
def test_speed_counts_the_wait_for_the_device_and_not_the_saving(tmp_path, monkeypatch, minutes):
    """A device needs 1 s per step, for which the host waits only before it saves; saving takes 100 s."""
    now = device_free_at = 0.0
    saved: list[dict[str, Any]] = []

    class Pending(HostCopy):
        def __init__(self, values: torch.Tensor) -> None:
            nonlocal device_free_at
            super().__init__(values)
            device_free_at = self.ready = max(device_free_at, now) + 1.0

        def has_arrived(self) -> bool:
            return now >= self.ready

        def read(self) -> list[float]:
            nonlocal now
            now = max(now, self.ready)
            return super().read()

    def perf_counter() -> float:
        nonlocal now
        now += 0.001
        return now

    def save(folder: Path, step: int, state: dict[str, Any], run: RunIdentity) -> None:
        nonlocal now
        now += 100.0
        saved.append(state)

    monkeypatch.setattr(time, "perf_counter", perf_counter)
    monkeypatch.setattr(metrics, "HostCopy", Pending)
    monkeypatch.setattr(checkpoint, "save_checkpoint", save)
    experiment = short_experiment(data=random_images(64), epochs=1, batch_size=16)
    with ready_trainer(tmp_path, experiment, execution_config(checkpoint_minutes=minutes)) as trainer:
        (epoch,) = trainer.epochs()
    assert (epoch.train_seconds, epoch.images_per_second) == pytest.approx((4.0, 16.0), rel=0.02)
    expected = [] if minutes else [1.0, 2.0, 3.0, 4.0]
    assert [state["train_seconds"] for state in saved] == pytest.approx(expected, rel=0.02)


def test_manager_saves_before_it_raises_for_a_signal(tmp_path):
    shutdown = ShutdownSignal()
    with ready_trainer(tmp_path) as trainer:
        manager = CheckpointManager(tmp_path, 60, DistributedEnv(), shutdown, RUN)
        shutdown.requested = "SIGTERM"
        with pytest.raises(Interrupted, match="stopped by SIGTERM; rerun the same command to resume from") as caught:
            manager.after_step(trainer.state, LossMonitor())
    assert str(latest_checkpoint(tmp_path)) in str(caught.value)


def test_non_finite_weights_are_never_saved(tmp_path):
    """Though the loss of their step was finite: an overflow breaks the weights one step before a loss shows it."""
    manager = CheckpointManager(tmp_path, 0, DistributedEnv(), ShutdownSignal(), RUN)
    with ready_trainer(tmp_path) as trainer:
        assert manager.after_step(trainer.state, LossMonitor())
        good = latest_checkpoint(tmp_path)
        with torch.no_grad():
            trainer.state.model.classifier.weight[0, 0] = float("inf")
        with pytest.raises(NonFiniteLoss, match=rf"the weights after step 0 .* checkpoint: {good}"):
            manager.after_step(trainer.state, LossMonitor())
    assert latest_checkpoint(tmp_path) == good
