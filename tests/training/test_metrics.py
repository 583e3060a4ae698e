"""Metrics of an epoch: sums on the device, also on a device without float64."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import ALL_AUGMENTATION, random_images, ready_trainer, short_experiment
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from modernet.record import Epoch
from modernet.runtime.device import sum_dtype
from modernet.training import metrics
from modernet.training.metrics import LossMonitor

APPLE_GPU = torch.device("mps")


def test_loss_monitor_reports_means_and_the_first_non_finite_step():
    losses = LossMonitor()
    losses.record(1, 0.1, torch.tensor([64.0, 128.0, 32.0, 60.0]))
    assert (losses.loss, losses.top1, losses.first_nonfinite) == (2.0, 50.0, None)
    for step, lr in ((2, 0.2), (3, 0.3)):
        losses.record(step, lr, torch.tensor([64.0, float("nan"), 0.0, 0.0]))
    assert losses.first_nonfinite is not None
    assert (losses.first_nonfinite.step, losses.first_nonfinite.lr) == (2, 0.2)


class NoFloat64(TorchDispatchMode):
    """Makes the CPU a device without float64: every operation on, or to, a float64 tensor raises RuntimeError."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.check(func, tree_leaves((args, kwargs, result)))
        return result

    @staticmethod
    def check(func: Any, values: Iterable[Any]) -> None:
        if any(isinstance(value, torch.Tensor) and value.dtype == torch.float64 for value in values):
            raise RuntimeError(f"{func}: this device has no float64")


def test_no_float64_mode_refuses_float64():
    with NoFloat64(), pytest.raises(RuntimeError, match="no float64"):
        torch.ones(2).double()


def train_and_resume(folder: Path, device: AbstractContextManager[Any]) -> list[Epoch]:
    """Two epochs with all augmentations and EMA on a device; the second resumes from the state after the first."""
    experiment = short_experiment(data=random_images(256), **ALL_AUGMENTATION, ema_decay=0.9)
    saved: dict[str, Any] = {}
    for _ in range(2):
        with ready_trainer(folder, experiment) as trainer, device:
            if saved:
                trainer.state.load_state_dict(saved)
            next(trainer.epochs())
            saved = trainer.state.state_dict()
    return [Epoch(**epoch) for epoch in saved["epochs"]]


def test_training_and_evaluation_need_no_float64_on_a_device_without_it(tmp_path, monkeypatch):
    expected = train_and_resume(tmp_path / "float64", nullcontext())
    monkeypatch.setattr(metrics, "sum_dtype", lambda device: sum_dtype(APPLE_GPU))
    epochs = train_and_resume(tmp_path / "float32", NoFloat64())
    assert len(epochs) == len(expected) == 2
    for epoch, reference in zip(epochs, expected, strict=True):
        for name in ("lr", "train_loss", "train_top1", "val_loss", "top1", "top5", "top1_ema"):
            assert getattr(epoch, name) == pytest.approx(getattr(reference, name), rel=1e-5), name


def test_sums_are_float64_where_the_device_has_it():
    assert {sum_dtype(torch.device(name)) for name in ("cpu", "cuda")} == {torch.float64}
