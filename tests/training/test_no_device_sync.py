"""No training step waits for the device, shown on the CPU by a device that refuses to be waited for.

`tests/integration/test_cuda.py` shows the same on a GPU, where there is one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import compose, execution_config, recipe_config
from image_files import write_shards
from PIL import Image
from simulated_device import DEVICE, DeviceWaited, SimulatedDevice
from torch import Tensor

from modernet.config.experiment import Experiment
from modernet.config.search_path import config_files
from modernet.data.augment import Labels
from modernet.data.damaged import SkippedImages
from modernet.data.file_batches import Stopwatch
from modernet.data.fingerprint import inspect_data
from modernet.data.loader import Loader, build_loader
from modernet.data.on_device import channel_values
from modernet.data.randaugment import rand_augment
from modernet.runtime.distributed import DistributedEnv, batch_layout
from modernet.runtime.signals import ShutdownSignal
from modernet.training.checkpoint import CheckpointManager
from modernet.training.checkpoint_files import RunIdentity
from modernet.training.loop import train_epoch
from modernet.training.progress import Progress
from modernet.training.state import TrainPlan, build_state
from modernet.training.steps import StepMonitor

NUM_CLASSES, NUM_IMAGES = 4, 24
BATCH_SIZE, MICRO_BATCH_SIZE = 8, 4
SMALL = (f"recipe.batch_size={BATCH_SIZE}", f"recipe.micro_batch_size={MICRO_BATCH_SIZE}", "recipe.ema_decay=0.99")
SMALL_NETWORK = ("model.width=8", "model.depths=[1,1,1,1]")
# Tuned files turn it off.
ALL_AUGMENTATION = (
    "recipe.randaugment=9.0",
    "recipe.randaugment_std=0.5",
    "recipe.randaugment_interpolation=bicubic",
    "recipe.mixup_alpha=0.8",
    "recipe.cutmix_alpha=1.0",
    "recipe.random_erasing_prob=0.25",
)


class PendingEvent:
    """torch.cuda.Event while the device is busy."""

    def record(self, stream: object) -> None:
        pass

    def query(self) -> bool:
        return False

    def synchronize(self) -> None:
        raise DeviceWaited("the host waits for an event")


@pytest.fixture
def device(monkeypatch) -> Iterator[SimulatedDevice]:
    """The simulated device, in place of the CUDA calls of training."""
    monkeypatch.setattr(torch.cuda, "Event", PendingEvent)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)  # DataLoader pins its batches
    no_graph = SimpleNamespace(is_capturing=lambda: False)
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda: no_graph)
    channel_values.cache_clear()
    yield SimulatedDevice()
    channel_values.cache_clear()


@pytest.fixture
def data_root(tmp_path) -> Path:
    """Small data sets with the names and layouts that the protocols read."""
    rng = np.random.default_rng(0)
    labels = np.arange(NUM_IMAGES) % NUM_CLASSES
    images = rng.integers(0, 256, (NUM_IMAGES, 32, 32, 3), np.uint8)
    larger = np.tile(images, (1, 2, 2, 1))
    npz = {"cifar10": images, "cifar100": images, "tiny_imagenet": larger, "imagenet64": larger}
    for name, x in npz.items():
        np.savez(tmp_path / f"{name}.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)
    for folder in (tmp_path, *(tmp_path / name for name in ("imagenet", "imagenette160", "imagewoof160"))):
        for split in ("train", "val"):
            for number, label in enumerate(labels):
                path = folder / split / str(label) / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(images[number]).save(path)
    return tmp_path


def build_small_experiment(protocol: str, step: str, root: Path, *overrides: str) -> Experiment:
    """The protocol with its recipe and data kind, a small network and batch, and few images."""
    data = () if protocol == "digits" else (f"data.root={root}", "data.num_classes=null")
    return compose(f"protocol={protocol}", f"+step={step}", *SMALL, *SMALL_NETWORK, *data, *overrides)


def train_one_step(device: SimulatedDevice, experiment: Experiment, folder: Path) -> None:
    """Build everything, and train the first step of an epoch while waiting is forbidden."""
    recipe, env, rows = experiment.recipe, DistributedEnv(), []
    layout = batch_layout(env, recipe.batch_size, recipe.micro_batch_size)
    num_classes = inspect_data(experiment.data).num_classes
    with device:
        loader = build_loader(experiment.data, recipe, experiment.seed, layout, DEVICE, 0)
        plan = TrainPlan(recipe, loader.num_images // recipe.batch_size, experiment.seed, layout)
        assert plan.steps_per_epoch > 1  # the last step of an epoch may wait
        state = build_state(experiment.model, num_classes, plan, execution_config(amp="auto", compile="off"), DEVICE)
        one_step = OneStep(loader, layout.grad_accum_steps, loader.fetching)
        checkpoints = CheckpointManager(folder, 60.0, env, ShutdownSignal(), RunIdentity("hash", 0))
        progress = Progress(recipe, plan.steps_per_epoch, 0, env)
        steps = StepMonitor(plan, 1, rows.append)
        with progress, device.forbid_waiting(), pytest.raises(StopIteration):
            train_epoch(state, one_step, plan, checkpoints, progress, steps)
    assert state.step == 1
    assert not rows
    assert len(steps.pending) == 1, "a row is on its way"
    assert state.train_metrics.sums.tolist()[0] == recipe.batch_size
    assert (state.data_seconds > 0) == experiment.data.in_files, "launching the augmentation is no waiting for data"


@dataclass
class OneStep:
    """A loader that ends an epoch after its first step."""

    loader: Loader
    micro_batches: int
    fetching: Stopwatch
    num_workers: int = 0
    num_images: int = NUM_IMAGES
    skipped: SkippedImages = field(default_factory=SkippedImages)

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        return islice(self.loader.train_batches(epoch, first_step), self.micro_batches)

    def eval_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.loader.eval_batches()


@pytest.mark.parametrize("step", ["resnet50", "modern_recipe", "convnext"])
@pytest.mark.parametrize("protocol", config_files("protocol"))
def test_no_step_of_a_protocol_waits_for_the_device(device, data_root, tmp_path, protocol, step):
    augmentation = () if step == "resnet50" else ALL_AUGMENTATION
    experiment = build_small_experiment(protocol, step, data_root, *augmentation)
    train_one_step(device, experiment, tmp_path)


def test_no_step_on_shards_waits_for_the_device(device, tmp_path):
    shards = write_shards(tmp_path / "shards")
    data = ("data=shards", f"data.root={shards}", "data.train_images=24", "data.num_classes=4", "data.image_size=32")
    experiment = build_small_experiment("digits", "convnext", shards, *data, *ALL_AUGMENTATION)
    train_one_step(device, experiment, tmp_path)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_no_operation_of_randaugment_waits_for_the_device(device, interpolation):
    recipe = recipe_config("modern", randaugment_interpolation=interpolation)
    images = torch.randint(256, (512, 3, 8, 8), dtype=torch.uint8)  # 512 draws of 15 operations
    torch.manual_seed(0)
    expected = rand_augment(images, recipe, (0.5, 0.5, 0.5))
    with device:
        on_device = images.to(DEVICE)
        torch.manual_seed(0)
        with device.forbid_waiting():
            augmented = rand_augment(on_device, recipe, (0.5, 0.5, 0.5))
        assert torch.equal(augmented.cpu(), expected)


WAITS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "tolist": lambda x: x.tolist(),
    "condition": lambda x: bool(x.sum() > 0),
    "text": lambda x: f"{x.sum():.3f}",
    "cpu": lambda x: x.cpu(),
    "blocking copy": lambda x: torch.rand(4).to(x.device),
    "copy into": lambda x: x.copy_(torch.rand(4)),
    "large copy": lambda x: torch.zeros(64 * 1024 + 1, dtype=torch.uint8).to(x.device, non_blocking=True),
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "assignment by mask": lambda x: x.__setitem__(x > 0, 2 * x),
    "indices on the host": lambda x: x[torch.tensor([0, 1])],
    "list of indices": lambda x: x[[0, 1]],
    "tensor of numbers": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "new tensor of numbers": lambda x: x.new_tensor(1.0),
}
NO_WAITS: dict[str, Callable[[Tensor], object]] = {
    "arithmetic": lambda x: (x * 2 + 1).mean(),
    "scalar of the host": lambda x: x * torch.tensor(2.0),
    "copy": lambda x: torch.rand(4).to(x.device, non_blocking=True),
    "pinned copy": lambda x: torch.zeros(10**6).pin_memory().to(x.device, non_blocking=True),
    "copy to the host": lambda x: x.to("cpu", non_blocking=True),
    "indices": lambda x: x[torch.arange(2, device=x.device)],
    "number by mask": lambda x: x.__setitem__(x > 0, 0.0),  # masked_fill
    "constant": lambda x: torch.full((3,), 1.0, device=x.device),
    "draw": lambda x: torch.randn_like(x),
}


@pytest.mark.parametrize("call", WAITS.values(), ids=WAITS)
def test_simulated_device_refuses_calls_that_wait(device, call):
    with device:
        x = (1 + torch.rand(4)).to(DEVICE)
        call(x)
        with device.forbid_waiting(), pytest.raises(DeviceWaited):
            call(x)


@pytest.mark.parametrize("call", NO_WAITS.values(), ids=NO_WAITS)
def test_simulated_device_allows_calls_that_do_not_wait(device, call):
    with device:
        x = torch.rand(4).to(DEVICE)
        with device.forbid_waiting():
            call(x)
