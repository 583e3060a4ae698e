"""Data sets of image files in class folders, decoded and cropped by worker processes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data.augment import Labels, normalize, normalize_and_mix
from modernet.data.file_lists import ImageFile, ImageSplit, list_images
from modernet.data.splits import hold_out
from modernet.data.transforms import ImageTransform, decode_image
from modernet.runtime.distributed import BatchLayout
from modernet.runtime.seeding import Purpose, permutation, seed_everything
from modernet.runtime.signals import ignore_signals

EVAL_EPOCH = -1  # the epoch of a sample that is evaluated
SampleIndex = tuple[int, int]  # epoch, number of the file
Sample = tuple[Tensor, int]  # (3, H, W) uint8 image, label


def load_splits(data: DataConfig) -> tuple[ImageSplit, ImageSplit]:
    """The files to train on and the files to evaluate on. Raises UserError for folders that are not as they must be."""
    train, test = list_images(data)
    if data.split == "train/test":
        return train, test
    kept, held_out = hold_out(np.array([file.label for file in train.files]))
    return _subset(train, kept), _subset(train, held_out)


def _subset(split: ImageSplit, indices: np.ndarray) -> ImageSplit:
    return replace(split, files=[split.files[index] for index in indices.tolist()])


@dataclass(frozen=True)
class ImageDataset(Dataset[Sample]):
    """The images of one split, by (epoch, number of the file)."""

    split: ImageSplit
    transform: ImageTransform

    def __len__(self) -> int:
        return len(self.split.files)

    def __getitem__(self, index: SampleIndex) -> Sample:
        epoch, number = index
        file: ImageFile = self.split.files[number]
        image = decode_image(self.split.folder / file.name)
        if epoch == EVAL_EPOCH:
            return self.transform.eval_transform(image), file.label
        return self.transform.train_transform(image, epoch, number), file.label


class BatchSampler:
    """The sample indices of each batch; replaced before each epoch, while the workers of DataLoader stay alive."""

    def __init__(self) -> None:
        self.batches: list[list[SampleIndex]] = []

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def to_device(images: Tensor, labels: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Copy a batch to the device asynchronously."""
    return images.to(device, non_blocking=True), labels.to(device, non_blocking=True)


@dataclass(frozen=True)
class ImageFolderLoader:
    """Batches of image files. A micro-batch is a function of (seed, epoch, step, number)."""

    train: ImageSplit
    test: ImageSplit
    data: DataConfig
    recipe: RecipeConfig
    seed: int
    layout: BatchLayout
    device: torch.device
    num_workers: int

    @property
    def num_images(self) -> int:
        return len(self.train.files)

    def _data_loader(self, split: ImageSplit) -> tuple[DataLoader, BatchSampler]:
        sampler = BatchSampler()
        loader = DataLoader(
            ImageDataset(split, ImageTransform(self.data, self.recipe, self.seed)),
            batch_sampler=sampler,  # pyright: ignore[reportArgumentType]
            num_workers=self.num_workers,
            worker_init_fn=ignore_signals,
            pin_memory=self.device.type == "cuda",
            persistent_workers=self.num_workers > 0,
        )
        return loader, sampler

    @cached_property
    def _train_loader(self) -> tuple[DataLoader, BatchSampler]:
        return self._data_loader(self.train)

    @cached_property
    def _eval_loader(self) -> tuple[DataLoader, BatchSampler]:
        return self._data_loader(self.test)

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """This rank's micro-batches of an epoch, from optimizer step `first_step` on.

        Every epoch has a new order; the images that do not fill its last batch are dropped.
        """
        batch_size, micro_batches = self.layout.batch_size, self.layout.micro_batches()
        steps = range(first_step, self.num_images // batch_size)
        order = permutation(self.num_images, self.seed, Purpose.ORDER, epoch).tolist()
        loader, sampler = self._train_loader
        sampler.batches = [
            [(epoch, number) for number in order[step * batch_size : (step + 1) * batch_size][micro_batch.indices]]
            for step in steps
            for micro_batch in micro_batches
        ]
        numbers = (self.layout.seed_number(step, micro_batch) for step in steps for micro_batch in micro_batches)
        for number, (images, labels) in zip(numbers, loader, strict=True):
            seed_everything(self.seed, Purpose.AUGMENT, epoch, number, 0)
            yield normalize_and_mix(*to_device(images, labels, self.device), self.data, self.recipe)

    def eval_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's images of the evaluated split."""
        env, size = self.layout.env, self.layout.micro_batch_size
        numbers = list(range(env.rank, len(self.test.files), env.world_size))
        loader, sampler = self._eval_loader
        sampler.batches = [
            [(EVAL_EPOCH, number) for number in numbers[first : first + size]] for first in range(0, len(numbers), size)
        ]
        for batch, batch_labels in loader:
            images, labels = to_device(batch, batch_labels, self.device)
            yield normalize(images, self.data), labels
