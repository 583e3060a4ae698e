"""Data sets of image files in class folders, decoded and cropped by worker processes."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data.augment import Labels, normalize
from modernet.data.damaged import Loaded, SkippedImages, load_or_explain, skip_or_raise, stack_samples
from modernet.data.decoding import decode_image
from modernet.data.file_batches import Batch, BatchAugmentation, Stopwatch, build_data_loader, load_batches, to_device
from modernet.data.file_lists import ImageSplit, list_images, list_train_images
from modernet.data.splits import hold_out, training_order
from modernet.data.transforms import ImageTransform
from modernet.errors import DamagedImage
from modernet.runtime.distributed import BatchLayout
from modernet.runtime.seeding import Purpose, derive_seed

# The file cannot be read, on any machine. After other errors, as of too many open files, it can.
FAULTS_OF_FILES = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)
MAX_DRAWS = 100  # of an image that replaces a damaged one


def load_splits(data: DataConfig) -> tuple[ImageSplit, ImageSplit]:
    """The files to train on and the files to evaluate on. Raises UserError for folders that are not as they must be."""
    if data.split == "train/test":
        return list_images(data)
    train = list_train_images(data)
    kept, held_out = hold_out(np.array([file.label for file in train.files]))
    return _subset(train, kept), _subset(train, held_out)


def _subset(split: ImageSplit, indices: np.ndarray) -> ImageSplit:
    return replace(split, files=[split.files[index] for index in indices.tolist()])


class FileBatch(NamedTuple):
    """Numbers of the files of one batch. A micro-batch of training has its epoch and its number in the epoch.

    With repeated augmentation, the number of files added to a number makes it the next copy of that file.
    """

    files: list[int]
    epoch: int | None = None  # None: evaluated
    number: int = 0


class FileTable:
    """Paths and labels of the files of a split, in two arrays.

    The processes that load images have them in common. Of objects each would have a copy: a reference that is counted
    is written.
    """

    def __init__(self, split: ImageSplit) -> None:
        self.folder = split.folder
        self.names = np.array([os.fsencode(file.name) for file in split.files])
        self.labels = np.array([file.label for file in split.files])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> tuple[Path, int]:
        """Path and label."""
        return self.folder / os.fsdecode(self.names[number]), int(self.labels[number])


@dataclass(frozen=True)
class ImageBatches(Dataset[Loaded]):
    """Batches of the images of one split, decoded and cropped."""

    files: FileTable
    transform: ImageTransform
    augmentation: BatchAugmentation

    def __getitem__(self, batch: FileBatch) -> Loaded:
        return load_or_explain(lambda: self._load(batch))

    def _load(self, batch: FileBatch) -> Loaded:
        skipped: list[str] = []
        size = self.transform.data.image_size if batch.epoch is None else self.transform.train_image_size
        images, labels = stack_samples(self._samples(batch, skipped), len(batch.files), size)
        if batch.epoch is not None:
            images = self.augmentation.on_host(images, batch.epoch, batch.number)
        return Loaded(images, labels, tuple(skipped))

    def _samples(self, batch: FileBatch, skipped: list[str]) -> Iterator[tuple[Tensor, int]]:
        """The crop and the label of each image; of a damaged one those of another, or none where it is evaluated."""
        for number in batch.files:
            path, label = self._file(number)
            try:
                image = self._read(path)
            except DamagedImage as error:
                skip_or_raise(error, self.transform.data, skipped)
                if batch.epoch is None:
                    continue
                label, image = self._replacement(number, batch.epoch)
            if batch.epoch is None:
                yield self.transform.center_crop(image), label
            else:
                yield self.transform.random_crop(image, batch.epoch, number), label

    def _file(self, number: int) -> tuple[Path, int]:
        return self.files[number % len(self.files)]

    def _read(self, path: Path) -> Tensor:
        try:
            content = path.read_bytes()
        except OSError as error:
            if error.errno not in FAULTS_OF_FILES:
                raise
            raise DamagedImage(f"{path} cannot be read ({error.strerror})") from error
        return decode_image(content, str(path), self.transform.data.max_pixels)

    def _replacement(self, number: int, epoch: int) -> tuple[int, Tensor]:
        """Label and image: the first one that can be decoded of those drawn for (seed, epoch, number)."""
        for draw in range(MAX_DRAWS):
            path, label = self._file(derive_seed(self.transform.seed, Purpose.REPLACE, epoch, number, draw))
            try:
                return label, self._read(path)
            except DamagedImage:  # counted where it stands in the order of the epoch
                continue
        raise DamagedImage(f"{self.files.folder}: none of {MAX_DRAWS} images drawn to replace a damaged one is intact")


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
    fetching: Stopwatch = field(default_factory=Stopwatch)
    skipped: SkippedImages = field(default_factory=SkippedImages)

    @property
    def num_images(self) -> int:
        return len(self.train.files)

    @cached_property
    def _augmentation(self) -> BatchAugmentation:
        return BatchAugmentation(self.data, self.recipe, self.seed, self.device)

    def _data_loader(self, split: ImageSplit) -> tuple[DataLoader, list[FileBatch]]:
        """A loader and its sampler, a list that is filled before each epoch, while the workers stay alive."""
        sampler: list[FileBatch] = []
        batches = ImageBatches(FileTable(split), ImageTransform(self.data, self.recipe, self.seed), self._augmentation)
        return build_data_loader(batches, self.num_workers, self.device, sampler), sampler

    @cached_property
    def _train_loader(self) -> tuple[DataLoader, list[FileBatch]]:
        return self._data_loader(self.train)

    @cached_property
    def _eval_loader(self) -> tuple[DataLoader, list[FileBatch]]:
        return self._data_loader(self.test)

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """This rank's micro-batches of an epoch, from optimizer step `first_step` on.

        Every epoch has a new order; the images that do not fill its last batch are dropped.
        """
        for number, batch in self.load_train_batches(epoch, first_step):
            yield self._augmentation.on_device(batch, epoch, number)

    def load_train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[int, Batch]]:
        """The part of train_batches that runs on the host: each micro-batch with its number in the epoch."""
        batch_size, micro_batches = self.layout.batch_size, self.layout.micro_batches()
        copies = self.recipe.repeated_augmentation
        order = training_order(self.num_images, copies, self.layout, self.seed, epoch).tolist()
        loader, sampler = self._train_loader
        sampler[:] = [
            FileBatch(
                order[step * batch_size : (step + 1) * batch_size][micro_batch.indices],
                epoch,
                self.layout.seed_number(step, micro_batch),
            )
            for step in range(first_step, self.num_images // batch_size)
            for micro_batch in micro_batches
        ]
        numbers = [batch.number for batch in sampler]
        yield from zip(numbers, load_batches(loader, self.skipped, self.fetching), strict=True)

    def eval_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's images of the evaluated split."""
        env, size = self.layout.env, self.layout.micro_batch_size
        numbers = list(range(env.rank, len(self.test.files), env.world_size))
        loader, sampler = self._eval_loader
        sampler[:] = [FileBatch(numbers[first : first + size]) for first in range(0, len(numbers), size)]
        for batch in load_batches(loader, self.skipped, self.fetching):
            images, labels = to_device(*batch, self.device)
            yield normalize(images, self.data), labels
