"""Data sets held in memory, on the device if it has any, and cut and augmented there a batch at a time."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from modernet.data.augment import Labels, finish, normalize, rand_augment, random_crop, random_flip
from modernet.errors import UserError
from modernet.runtime.distributed import BatchLayout
from modernet.runtime.seeding import Purpose, derive_seed, permutation, seed_everything
from modernet.config.schema import DataConfig, RecipeConfig

Split = tuple[np.ndarray, np.ndarray]  # (N, H, W, 3) uint8 images, (N,) labels

EVALUATION_BATCH = 500  # images; does not change the scores


def digits(data: DataConfig) -> tuple[Split, Split]:
    """scikit-learn's 1,797 digits; it has no test split, so a fifth of each class is set aside, always the same."""
    bunch: Any = load_digits()
    grey, labels = bunch.data, bunch.target
    images = np.repeat(np.round(grey * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1), 3, axis=3)
    chosen, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    return (images[chosen], labels[chosen]), (images[test], labels[test])


def npz(data: DataConfig) -> tuple[Split, Split]:
    """The four arrays of ROOT/NAME.npz. Raises UserError where they are missing or not what they should be."""
    hint = f"`python scripts/get_data.py {data.name} DIR` makes DIR/{data.name}.npz"
    if data.root is None:
        raise UserError(
            f"data={data.name} needs to know where its file lies: data.root=DIR or MODERNET_DATA=DIR; {hint}"
        )
    path = Path(data.root) / f"{data.name}.npz"
    if not path.is_file():
        raise UserError(f"there is no file {path}; data.root or MODERNET_DATA names its folder, and {hint}")
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            arrays = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test") if name in file}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a readable .npz file ({error}); {hint}") from error
    train, test = (_checked(path, split, arrays, data) for split in ("train", "test"))
    return train, test


def _checked(path: Path, split: str, arrays: dict[str, np.ndarray], data: DataConfig) -> Split:
    wanted = f"x_{split} must be (N, {data.image_size}, {data.image_size}, 3) uint8"
    for name in (f"x_{split}", f"y_{split}"):
        if name not in arrays:
            raise UserError(f"{path} has no array {name}; it must hold x_train, y_train, x_test and y_test")
    images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
    if images.dtype != np.uint8 or images.shape[1:] != (data.image_size, data.image_size, 3):
        raise UserError(f"{path}: {wanted}, got {images.shape} {images.dtype}")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise UserError(f"{path}: y_{split} must be ({len(images)},) integers, got {labels.shape} {labels.dtype}")
    if len(labels) == 0:
        raise UserError(f"{path}: {wanted} with N at least 1, got no image")
    if labels.min() < 0 or labels.max() >= data.num_classes:
        raise UserError(f"{path}: y_{split} must lie in 0..{data.num_classes - 1}, got {labels.min()}..{labels.max()}")
    return images, labels


def fake(data: DataConfig) -> tuple[Split, Split]:
    """Random pixels with random labels."""

    def split(n: int | None, number: int) -> Split:
        if n is None:
            raise UserError("data=fake needs data.train_images=N and data.test_images=N")
        draws = np.random.default_rng(derive_seed(number, Purpose.FAKE))
        shape = n, data.image_size, data.image_size, 3
        return draws.integers(0, 256, shape, np.uint8), draws.integers(0, data.num_classes, n)

    return split(data.train_images, 0), split(data.test_images, 1)


SETS = {"digits": digits, "npz": npz, "fake": fake}


def held_out(labels: np.ndarray, part: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on, and of a part of each class to tune on; always the same. Raises UserError for too few."""
    classes, counts = np.unique(labels, return_counts=True)
    if min(counts) < 2 or len(labels) * part < len(classes):
        raise UserError(
            f"data.split=train/val holds {part:.0%} of train out and needs an image of each class there; "
            f"{len(labels)} images are too few"
        )
    parts: Any = train_test_split(np.arange(len(labels)), test_size=part, stratify=labels, random_state=0)
    return parts[0], parts[1]


@dataclass(frozen=True)
class Images:
    """(N, 3, H, W) uint8 images and (N,) int64 labels."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Images":
        return Images(self.images.to(device), self.labels.to(device))


def read(data: DataConfig) -> tuple[Images, Images]:
    """The images to train on and those to evaluate on. Raises UserError where the files are not as they should be."""
    train, test = SETS[data.kind](data)
    if data.split == "train/val":
        kept, held = held_out(train[1])
        train, test = ((train[0][chosen], train[1][chosen]) for chosen in (kept, held))

    def tensors(split: Split) -> Images:
        images, labels = split
        return Images(
            torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(labels.astype(np.int64)),
        )

    return tensors(train), tensors(test)


@dataclass(frozen=True)
class InMemoryLoader:
    """Batches of images that lie in memory."""

    train: Images
    test: Images
    data: DataConfig
    recipe: RecipeConfig
    seed: int
    layout: BatchLayout
    num_workers: int = 0

    @property
    def num_images(self) -> int:
        return len(self.train)

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """An epoch in its own order from step `start` on, a pass at a time, as this process has to take them.

        The images that do not fill the last batch are left for other epochs.
        """
        batch, env = self.layout.batch_size, self.layout.env
        steps = len(self.train) // batch
        order = permutation(len(self.train), self.seed, Purpose.ORDER, epoch).to(self.train.labels.device)
        for step in range(first_step, steps):
            whole = order[step * batch : (step + 1) * batch]
            for number, part in enumerate(self.layout.micro_batches()):
                seed_everything(self.seed, Purpose.AUGMENT, epoch, step, env.rank, number)
                images = random_crop(self.train.images[whole[part]], self.data.crop_padding)
                images = random_flip(images) if self.data.flip else images
                images = rand_augment(images, self.recipe.randaugment, self.recipe.randaugment_std, self.data.mean)
                yield finish(images, self.train.labels[whole[part]], self.data, self.recipe)

    def eval_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, over all processes together."""
        env = self.layout.env
        images, labels = (values[env.rank :: env.world_size] for values in (self.test.images, self.test.labels))
        for some, theirs in zip(images.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH), strict=True):
            yield normalize(some, self.data), theirs
