"""Data sets held in memory, on the training device, where whole batches are cropped and augmented."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data.augment import Labels, normalize, normalize_and_mix, random_crop, random_flip
from modernet.data.damaged import SkippedImages
from modernet.data.file_batches import Stopwatch
from modernet.data.npz import Split, load_npz
from modernet.data.on_device import to_device_of
from modernet.data.randaugment import rand_augment
from modernet.data.splits import hold_out, training_order
from modernet.errors import UserError
from modernet.runtime.distributed import BatchLayout
from modernet.runtime.seeding import Purpose, derive_seed, seed_everything

EVAL_BATCH_SIZE = 500  # images; does not change the metrics


def load_digits(data: DataConfig) -> tuple[Split, Split]:
    """scikit-learn's 1,797 digits. They have no test split, so a fixed fifth of each class is used as one."""
    from sklearn import datasets  # takes long to import, and other data sets do not need it
    from sklearn.model_selection import train_test_split

    bunch: Any = datasets.load_digits()
    grey, labels = bunch.data, bunch.target
    images = np.repeat(np.round(grey * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1), 3, axis=3)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    return (images[train], labels[train]), (images[test], labels[test])


def generate_fake(data: DataConfig) -> tuple[Split, Split]:
    """Random pixels with random labels. Raises UserError where data.train_images or data.test_images is missing."""
    if data.train_images is None or data.test_images is None or data.num_classes is None:
        raise UserError("data=fake needs data.train_images=N, data.test_images=N and data.num_classes=N")
    num_classes = data.num_classes

    def split(n: int, number: int) -> Split:
        generator = np.random.default_rng(derive_seed(number, Purpose.FAKE))
        shape = n, data.image_size, data.image_size, 3
        return generator.integers(0, 256, shape, np.uint8), generator.integers(0, num_classes, n)

    return split(data.train_images, 0), split(data.test_images, 1)


SOURCES = {"digits": load_digits, "npz": load_npz, "fake": generate_fake}  # by DataConfig.kind


@dataclass(frozen=True)
class LabeledImages:
    """(N, 3, H, W) uint8 images and (N,) int64 labels."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "LabeledImages":
        """A copy on this device."""
        return LabeledImages(self.images.to(device), self.labels.to(device))


def load_images(data: DataConfig) -> tuple[LabeledImages, LabeledImages]:
    """The images to train on and the images to evaluate on. Raises UserError for missing or invalid files."""
    train, test = SOURCES[data.kind](data)
    if data.split == "train/val":
        kept, held_out = hold_out(train[1])
        train, test = ((train[0][indices], train[1][indices]) for indices in (kept, held_out))
    return _to_tensors(train), _to_tensors(test)


def _to_tensors(split: Split) -> LabeledImages:
    images, labels = split
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()  # (N, H, W, 3) -> (N, 3, H, W)
    return LabeledImages(pixels, torch.from_numpy(labels.astype(np.int64)))


@dataclass(frozen=True)
class InMemoryLoader:
    """Batches of images in memory. A micro-batch is a function of (seed, epoch, step, number)."""

    train: LabeledImages
    test: LabeledImages
    data: DataConfig
    recipe: RecipeConfig
    seed: int
    layout: BatchLayout
    num_workers: int = 0
    fetching: Stopwatch = field(default_factory=Stopwatch)  # nothing is waited for
    skipped: SkippedImages = field(default_factory=SkippedImages)  # none: an array holds no damaged images

    @property
    def num_images(self) -> int:
        return len(self.train)

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """This rank's micro-batches of an epoch, from optimizer step `first_step` on.

        Every epoch has a new order; the images that do not fill its last batch are dropped.
        """
        batch_size = self.layout.batch_size
        n, copies = len(self.train), self.recipe.repeated_augmentation
        order = training_order(n, copies, self.layout, self.seed, epoch) % n
        for step in range(first_step, len(self.train) // batch_size):
            batch = order[step * batch_size : (step + 1) * batch_size]
            for micro_batch in self.layout.micro_batches():
                seed_everything(self.seed, Purpose.AUGMENT, epoch, step, 0, micro_batch.number)
                indices = to_device_of(self.train.images, batch[micro_batch.indices])
                images = random_crop(self.train.images.index_select(0, indices), self.data.crop_padding)
                images = random_flip(images) if self.data.flip else images
                images = rand_augment(images, self.recipe, self.data.mean)
                yield normalize_and_mix(images, self.train.labels[indices], self.data, self.recipe)

    def eval_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's images of the evaluated split."""
        env = self.layout.env
        images, labels = (values[env.rank :: env.world_size] for values in (self.test.images, self.test.labels))
        for first in range(0, len(labels), EVAL_BATCH_SIZE):  # split() would make an empty batch of no images
            batch = slice(first, first + EVAL_BATCH_SIZE)
            yield normalize(images[batch], self.data), labels[batch]
