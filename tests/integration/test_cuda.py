"""What only a GPU can show. Skipped, and said so, where there is none."""

import json
from dataclasses import replace

import pytest
import torch
from helpers import NO_AUGMENTATION, data_config, execution_config, recipe_config, run_script

from modernet.data.in_memory import InMemoryLoader, load_images
from modernet import roadmap
from modernet.training.loop import CheckpointManager, evaluate, train_epoch
from modernet.runtime.distributed import DistributedEnv, batch_layout
from modernet.training.progress import Progress
from modernet.config.schema import ExecutionConfig
from modernet.runtime.signals import ShutdownSignal
from modernet.training.state import Plan, TrainState, prepare

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

HARD = {"randaugment": 9.0, "mixup_alpha": 0.8, "cutmix_alpha": 1.0, "random_erasing_prob": 0.25, "ema": 0.99}


def prepared(device: str, how: ExecutionConfig, **changes) -> tuple[TrainState, InMemoryLoader, Plan]:
    """ConvNeXt on digits, everything on that device."""
    like, with_these = data_config("digits"), recipe_config("modern", **{"batch_size": 64, "epochs": 2, **changes})
    share = batch_layout(DistributedEnv(), 64, None)
    train, test = (images.to(torch.device(device)) for images in load_images(like))
    plan = Plan(with_these, len(train) // 64, 0, share)
    spec = replace(roadmap("micro")["convnext"], stem_stride=1)
    loader = InMemoryLoader(train, test, like, with_these, 0, share)
    return prepare(spec, 10, plan, how, torch.device(device)), loader, plan


def keeper(folder) -> CheckpointManager:
    return CheckpointManager(folder, 60, DistributedEnv(), ShutdownSignal(), {})


def test_no_step_waits_for_the_gpu(tmp_path):
    """But for the last of an epoch, after which the readings are awaited."""
    training, loader, plan = prepared("cuda", execution_config(amp="auto"), **HARD)
    progress = Progress(2, plan.steps, 64, 0, shown=False)
    train_epoch(training, loader, plan, keeper(tmp_path), progress)  # whatever a first epoch sets up
    training.epochs.append(None)  # pyright: ignore[reportArgumentType]
    kept = keeper(tmp_path)

    def stop_before_the_last(*_: object) -> bool:
        if training.step == 2 * plan.steps - 1:
            raise StopIteration
        return False

    kept.after_step = stop_before_the_last  # pyright: ignore[reportAttributeAccessIssue]
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(StopIteration):
            train_epoch(training, loader, plan, kept, progress)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_gpu_follows_the_cpu():
    """The same images in the same order, cut at the same places; losses differ by rounding alone."""
    still = {**PLAIN, "drop_path_rate": 0.0}
    losses = []
    for device in ("cpu", "cuda"):
        training, loader, _ = prepared(device, execution_config(), **still)
        batches = [batch for _, batch in zip(range(3), loader.train_batches(0), strict=False)]
        losses.append([evaluate(training.model, [batch], DistributedEnv()).loss for batch in batches])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_the_defaults_are_bf16_and_the_gpus_name(train, tmp_path):
    result = train("+step=convnext", "recipe.epochs=2", "recipe.warmup_epochs=1", "wandb=disabled")
    assert result.returncode == 0, result.stderr
    record = json.loads(next(tmp_path.rglob("record.json")).read_text())
    assert record["device"] == torch.cuda.get_device_name()
    assert record["machine"]["amp"] == "bf16"
    assert record["machine"]["compile"] is False  # 44 steps are not worth it


def test_compiling_changes_a_result_by_no_more_than_rounding(tmp_path):
    still = ("+step=convnext", "recipe.epochs=2", "recipe.warmup_epochs=1", "recipe.drop_path_rate=0", "amp=off")
    losses = []
    for compiled in ("on", "off"):
        folder = tmp_path / compiled
        assert run_script("train.py", *still, "wandb=disabled", f"compile={compiled}", f"runs={folder}").returncode == 0
        losses.append(json.loads(next(folder.rglob("record.json")).read_text())["val_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
