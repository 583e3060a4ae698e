"""An epoch of training from image files, end to end: our trainer against timm's loader, network and loop."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hydra
import timm
import torch
from timm.data.dataset import ImageDataset
from timm.data.loader import create_loader
from timm.data.mixup import FastCollateMixup
from timm.loss.cross_entropy import SoftTargetCrossEntropy
from torch import optim

from benchmarks.image_input import patch_timms_posterize
from benchmarks.measuring import autocast_on, in_own_process, measure_in_turn, to_device
from benchmarks.rows import Row, compare
from modernet.config.experiment import build_execution, build_experiment, initialize_hydra
from modernet.data.fingerprint import resolve_data
from modernet.training.trainer import Trainer

NETWORKS = {"resnet50": "resnet50", "convnext": "convnext_tiny"}
BATCH, SIZE, CLASSES = 32, 128, 10
MIXUP, CUTMIX, ERASING, RANDAUGMENT = 0.8, 1.0, 0.25, "rand-m9-mstd0.5-inc1"


@contextmanager
def subset(images: Path, number: int) -> Iterator[Path]:
    """A folder with links to some of the training images, evenly over the classes, and as few to evaluate on."""
    with TemporaryDirectory() as folder:
        for split, wanted in (("train", number), ("val", CLASSES)):
            for label in sorted(path for path in (images / split).iterdir() if path.is_dir()):
                target = Path(folder, split, label.name)
                target.mkdir(parents=True)
                for path in sorted(label.iterdir())[: wanted // CLASSES]:
                    (target / path.name).symlink_to(path)
        yield Path(folder)


def our_epochs(folder: Path, step: str, device: str, workers: int, epochs: int, runs: Path) -> tuple[Trainer, Any]:
    """Our trainer with the modern recipe, ready to fit."""
    overrides = [
        *(f"+step={step}", "size=t", "protocol=folder", "recipe=modern", f"data.root={folder}"),
        *(f"data.image_size={SIZE}", f"device={device}", f"num_workers={workers}", "compile=off"),
        *(f"recipe.batch_size={BATCH}", "recipe.warmup_epochs=0", f"recipe.epochs={epochs}", "recipe.drop_path_rate=0"),
    ]
    with initialize_hydra():
        config = hydra.compose("config", overrides)
        experiment = resolve_data(build_experiment(config))
    experiment = replace(experiment, recipe=replace(experiment.recipe, randaugment=9.0, randaugment_std=0.5))
    trainer = Trainer.from_experiment(experiment, runs, build_execution(config))
    trainer.prepare()
    return trainer, trainer.epochs()


def timm_epoch(folder: Path, name: str, device: torch.device, workers: int) -> Callable[[], float]:
    """timm's parts, put together as in its train.py; trained images/s.

    Input as there by default, but bicubic; channels last and one group of fused AdamW, as on our side.
    """
    patch_timms_posterize()
    mixing = FastCollateMixup(mixup_alpha=MIXUP, cutmix_alpha=CUTMIX, label_smoothing=0.1, num_classes=CLASSES)
    loader = create_loader(
        ImageDataset(str(folder / "train")),
        input_size=(3, SIZE, SIZE),
        batch_size=BATCH,
        is_training=True,
        re_prob=ERASING,
        re_mode="pixel",
        auto_augment=RANDAUGMENT,
        interpolation="bicubic",
        collate_fn=mixing,
        num_workers=workers,
        device=device,
        persistent_workers=workers > 0,
    )
    model = to_device(timm.create_model(name, num_classes=CLASSES), device).train()
    optimizer = optim.AdamW(model.parameters(), fused=True)
    autocast, criterion = autocast_on(device), SoftTargetCrossEntropy()

    def contestant() -> float:
        started, images_seen = time.perf_counter(), 0
        for images, labels in loader:
            images = images.contiguous(memory_format=torch.channels_last)
            with autocast():
                logits = model(images)
            loss = criterion(logits.float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            images_seen += len(images)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return images_seen / (time.perf_counter() - started)

    return contestant


def epoch_against_timm(images: Path, step: str, device: torch.device, number: int, workers: int, rounds: int) -> Row:
    """One epoch of `number` images in each round."""
    with (
        subset(images, number) as folder,
        TemporaryDirectory() as runs,
        in_own_process(timm_epoch, folder, NETWORKS[step], device, workers) as theirs,
    ):
        trainer, epochs = our_epochs(folder, step, str(device), workers, rounds + 1, Path(runs))
        with trainer:
            contestants = {"modernet": lambda: next(epochs).images_per_second, "timm": theirs}
            rates = measure_in_turn(contestants, rounds)
    what = f"epoch from files, {step}, batch {BATCH}, {SIZE} px, {workers} worker(s)"
    return compare(what, "images/s", rates, "modernet")
