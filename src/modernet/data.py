"""Data sets held in memory, and the batches made of them on the device they lie on."""

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

from modernet.errors import UserError
from modernet.rng import Purpose, generator
from modernet.spec import DataSpec

Batch = tuple[Tensor, Tensor]  # (N, 3, H, W) float32 normalised images, (N,) int64 labels
Split = tuple[np.ndarray, np.ndarray]  # (N, H, W, 3) uint8 images, (N,) labels

HELD_OUT = 0.1  # of train, where split is train/val


@dataclass(frozen=True)
class Images:
    """(N, 3, H, W) uint8 images and (N,) int64 labels."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Images":
        return Images(self.images.to(device), self.labels.to(device))


def digits(spec: DataSpec) -> tuple[Split, Split]:
    """scikit-learn's 1,797 digits; it has no test split, so a fifth of each class is set aside, always the same."""
    bunch: Any = load_digits()
    grey, labels = bunch.data, bunch.target
    images = np.repeat(np.round(grey * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1), 3, axis=3)
    chosen, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    return (images[chosen], labels[chosen]), (images[test], labels[test])


def cifar10(spec: DataSpec) -> tuple[Split, Split]:
    """The four arrays of ROOT/cifar10.npz. Raises UserError where they are missing or not what they should be."""
    hint = f"`python scripts/get_data.py {spec.name} DIR` makes DIR/{spec.name}.npz"
    if spec.root is None:
        raise UserError(
            f"data={spec.name} needs to know where its file lies: data.root=DIR or MODERNET_DATA=DIR; {hint}"
        )
    path = Path(spec.root) / f"{spec.name}.npz"
    if not path.is_file():
        raise UserError(f"there is no file {path}; data.root or MODERNET_DATA names its folder, and {hint}")
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            arrays = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test") if name in file}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a readable .npz file ({error}); {hint}") from error
    train, test = (_checked(path, split, arrays, spec) for split in ("train", "test"))
    return train, test


def _checked(path: Path, split: str, arrays: dict[str, np.ndarray], spec: DataSpec) -> Split:
    wanted = f"x_{split} must be (N, {spec.image_size}, {spec.image_size}, 3) uint8"
    for name in (f"x_{split}", f"y_{split}"):
        if name not in arrays:
            raise UserError(f"{path} has no array {name}; it must hold x_train, y_train, x_test and y_test")
    images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
    if images.dtype != np.uint8 or images.shape[1:] != (spec.image_size, spec.image_size, 3):
        raise UserError(f"{path}: {wanted}, got {images.shape} {images.dtype}")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise UserError(f"{path}: y_{split} must be ({len(images)},) integers, got {labels.shape} {labels.dtype}")
    if len(labels) == 0:
        raise UserError(f"{path}: {wanted} with N at least 1, got no image")
    if labels.min() < 0 or labels.max() >= spec.classes:
        raise UserError(f"{path}: y_{split} must lie in 0..{spec.classes - 1}, got {labels.min()}..{labels.max()}")
    return images, labels


SETS = {"digits": digits, "cifar10": cifar10}


def _hold_out(train: Split) -> tuple[Split, Split]:
    images, labels = train
    if min(np.unique(labels, return_counts=True)[1]) < 2 or len(labels) * HELD_OUT < len(np.unique(labels)):
        raise UserError(
            f"data.split=train/val holds {HELD_OUT:.0%} of train out and needs an image of each class there; "
            f"{len(labels)} images are too few"
        )
    kept, held = train_test_split(np.arange(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=0)
    return (images[kept], labels[kept]), (images[held], labels[held])


def load(spec: DataSpec) -> tuple[Images, Images]:
    """The images to train on and those to evaluate on. Raises UserError where the files are not as they should be."""
    train, test = SETS[spec.name](spec)
    if spec.split == "train/val":
        train, test = _hold_out(train)

    def tensors(split: Split) -> Images:
        images, labels = split
        return Images(
            torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(labels.astype(np.int64)),
        )

    return tensors(train), tensors(test)


def normalize(images: Tensor, spec: DataSpec) -> Tensor:
    """uint8 -> float32 with mean 0 and std 1 per channel; (N, 3, H, W)."""
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (spec.mean, spec.std))
    return (images.float() / 255 - mean) / std


def random_crop(images: Tensor, padding: int, draws: torch.Generator) -> Tensor:
    """Pad (N, C, H, W) with zeros and cut every image back to H x W at a place of its own."""
    n, channels, height, width = images.shape
    padded = torch.nn.functional.pad(images, [padding] * 4)
    corner = torch.randint(2 * padding + 1, (2, n, 1), generator=draws, device=images.device)
    rows = corner[0] + torch.arange(height, device=images.device)  # (N, H)
    columns = corner[1] + torch.arange(width, device=images.device)  # (N, W)
    image = torch.arange(n, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[:, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def random_flip(images: Tensor, draws: torch.Generator) -> Tensor:
    """Mirror every image of (N, C, H, W) with probability 1/2."""
    flipped = torch.rand(len(images), generator=draws, device=images.device) < 0.5
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)


def training_batches(data: Images, spec: DataSpec, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
    """One epoch in its own order, augmented; the images that do not fill the last batch are left for other epochs."""
    device = data.labels.device
    steps = len(data) // batch_size
    order = torch.randperm(len(data), generator=generator(device, seed, Purpose.ORDER, epoch), device=device)
    for step in range(steps):
        draws = generator(device, seed, Purpose.AUGMENT, epoch * steps + step)
        chosen = order[step * batch_size : (step + 1) * batch_size]
        images = data.images[chosen]
        if spec.crop_padding:
            images = random_crop(images, spec.crop_padding, draws)
        if spec.flip:
            images = random_flip(images, draws)
        yield normalize(images, spec), data.labels[chosen]


def evaluation_batches(data: Images, spec: DataSpec, batch_size: int) -> Iterator[Batch]:
    """Every image once, in order."""
    for images, labels in zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True):
        yield normalize(images, spec), labels
