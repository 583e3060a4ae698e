"""Tests that need a GPU; they skip where there is none."""

import json

import pytest
import torch
from helpers import (
    ALL_AUGMENTATION,
    NO_AUGMENTATION,
    assert_identical_runs,
    execution_config,
    ready_trainer,
    run_script,
    short_experiment,
)

from modernet.training.loop import evaluate, train_epoch
from modernet.training.progress import Progress
from modernet.training.steps import StepMonitor

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_no_step_synchronizes_with_the_gpu(tmp_path, monkeypatch):
    """Except the last step of an epoch, after which the metrics are read."""
    execution = execution_config(device="cuda", amp="auto")
    with ready_trainer(tmp_path, short_experiment(**ALL_AUGMENTATION, ema_decay=0.99), execution) as trainer:
        state, plan = trainer.state, trainer.plan
        epochs = trainer.epochs()
        next(epochs)  # the first epoch compiles kernels and allocates memory

        def stop_before_the_last_step(*_: object) -> bool:
            if state.step == 2 * plan.steps_per_epoch - 1:
                raise StopIteration
            return False

        monkeypatch.setattr(trainer.checkpoints, "after_step", stop_before_the_last_step)
        steps = StepMonitor(plan, 1, lambda row: None)
        progress = Progress(plan.recipe, plan.steps_per_epoch, state.step, plan.layout.env)
        torch.cuda.set_sync_debug_mode("error")
        try:
            with pytest.raises(StopIteration):
                train_epoch(state, trainer.loader, plan, trainer.checkpoints, progress, steps)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_losses_on_a_gpu_match_those_on_the_cpu(tmp_path):
    losses = []
    for device in ("cpu", "cuda"):
        experiment = short_experiment(**NO_AUGMENTATION, drop_path_rate=0.0)
        with ready_trainer(tmp_path / device, experiment, execution_config(device=device)) as trainer:
            batches = [batch for _, batch in zip(range(3), trainer.loader.train_batches(0), strict=False)]
            losses.append([evaluate(trainer.state.model, [batch], trainer.env).loss for batch in batches])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_defaults_on_a_gpu_are_bf16_and_its_product_name(train, tmp_path):
    result = train("+step=convnext", "recipe.epochs=2", "recipe.warmup_epochs=1", "wandb=disabled")
    assert result.returncode == 0, result.stderr
    record = json.loads(next(tmp_path.rglob("record.json")).read_text())
    assert record["device"] == torch.cuda.get_device_name()
    assert record["machine"]["amp"] == "bf16"
    assert record["machine"]["compile"] is False  # 44 steps do not pay for it
    assert record["metrics"]["peak_memory"] > 0


def test_compiling_changes_the_result_by_rounding_alone(tmp_path):
    run = ("+step=convnext", "recipe.epochs=2", "recipe.warmup_epochs=1", "recipe.drop_path_rate=0", "amp=off")
    losses = []
    for mode in ("on", "off"):
        folder = tmp_path / mode
        assert run_script("train.py", *run, "wandb=disabled", f"compile={mode}", f"runs={folder}").returncode == 0
        losses.append(json.loads(next(folder.rglob("record.json")).read_text())["val_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_deterministic_runs_are_equal_bit_for_bit_and_the_record_says_so(tmp_path):
    for name in ("1", "2"):
        command = (
            "+step=convnext",
            "recipe.epochs=2",
            "recipe.warmup_epochs=1",
            "wandb=disabled",
            "deterministic=true",
        )
        result = run_script("train.py", *command, f"runs={tmp_path / name}")
        assert result.returncode == 0, result.stderr
    first, second = (next((tmp_path / name).rglob("record.json")).parent for name in ("1", "2"))
    assert_identical_runs(first, second)
    assert json.loads((first / "record.json").read_text())["machine"]["deterministic"] is True
