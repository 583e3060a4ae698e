"""Batches of image files, whatever holds the files: where each part of the augmentation runs."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data.augment import Labels, normalize_and_mix
from modernet.data.damaged import Loaded, SkippedImages
from modernet.data.host_augment import normalize_and_mix_
from modernet.data.randaugment import rand_augment
from modernet.errors import LocalMistake
from modernet.runtime.seeding import Purpose, seed_everything
from modernet.runtime.signals import ignore_signals

T = TypeVar("T")
Batch = tuple[Tensor, Tensor]  # (N, 3, H, W) uint8 images, (N,) int64 labels


@dataclass
class Stopwatch:
    """Seconds that add up until they are taken."""

    seconds: float = 0.0

    def time(self, items: Iterable[T]) -> Iterator[T]:
        """The same items; the time until each is there counts."""
        iterator = iter(items)
        while True:
            asked = time.perf_counter()
            item = next(iterator, None)
            self.seconds += time.perf_counter() - asked
            if item is None:
                return
            yield item

    def take(self) -> float:
        """The seconds since the last call."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


def build_data_loader(
    batches: Dataset, num_workers: int, device: torch.device, sampler: Iterable[Any] | None = None
) -> DataLoader:
    """A DataLoader whose data set has batches for items; with a `sampler` its processes stay for the next epoch."""
    return DataLoader(
        batches,
        sampler=sampler,  # pyright: ignore[reportArgumentType]
        batch_size=None,
        num_workers=num_workers,
        worker_init_fn=ignore_signals,
        pin_memory=device.type == "cuda",
        persistent_workers=sampler is not None and num_workers > 0,
    )


def load_batches(loader: Iterable[Loaded], skipped: SkippedImages, fetching: Stopwatch) -> Iterator[Batch]:
    """The batches of a DataLoader without the empty ones. Raises LocalMistake for what a worker cannot decode."""
    for batch in fetching.time(loader):
        if batch.mistake:
            raise LocalMistake(batch.mistake)
        skipped.add(batch.skipped)
        if len(batch.labels):
            yield batch.images, batch.labels


def to_device(images: Tensor, labels: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Copy a batch to the device asynchronously."""
    return images.to(device, non_blocking=True), labels.to(device, non_blocking=True)


@dataclass(frozen=True)
class BatchAugmentation:
    """Everything after the crop, for whole micro-batches: a function of (seed, epoch, number of the micro-batch).

    RandAugment runs on the device, because it would keep the processes that load files busy. Where the device is the
    CPU, these processes run it.
    """

    data: DataConfig
    recipe: RecipeConfig
    seed: int
    device: torch.device

    def on_host(self, images: Tensor, epoch: int, number: int) -> Tensor:
        """What the process that loads the images (N, 3, H, W) does."""
        return self._rand_augment(images, epoch, number) if self._on_cpu else images

    def on_device(self, batch: Batch, epoch: int, number: int) -> tuple[Tensor, Labels]:
        """From the output of on_host to what the network is trained on."""
        images, labels = to_device(*batch, self.device)
        if not self._on_cpu:
            images = self._rand_augment(images, epoch, number)
        seed_everything(self.seed, Purpose.AUGMENT, epoch, number, 0)
        finish = normalize_and_mix_ if self._on_cpu else normalize_and_mix
        return finish(images, labels, self.data, self.recipe)

    @property
    def _on_cpu(self) -> bool:
        return self.device.type == "cpu"

    def _rand_augment(self, images: Tensor, epoch: int, number: int) -> Tensor:
        seed_everything(self.seed, Purpose.AUGMENT, epoch, number, 1)
        return rand_augment(images, self.recipe, self.data.mean, along_one_axis=self._on_cpu)
