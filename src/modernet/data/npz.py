"""Data sets in one file, ROOT/NAME.npz, with the arrays x_train, y_train, x_test, y_test and, optionally, classes.

Images are (N, H, W, 3) uint8, labels (N,) integers from 0, `classes` the names of the classes.
"""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modernet.config.schema import DataConfig
from modernet.data.file_paths import npz_hint, npz_path
from modernet.errors import UserError

Split = tuple[np.ndarray, np.ndarray]  # (N, H, W, 3) uint8 images, (N,) integer labels

MAX_UNNAMED = 1_000_000  # classes; a wrong label would take the memory of as many classes
REQUIRED = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class NpzArrays:
    """The checked content of a file."""

    train: Split
    test: Split
    num_classes: int

    def images_per_class(self) -> dict[str, list[int]]:
        """Of train and test, by label."""
        return {
            split: np.bincount(labels, minlength=self.num_classes).tolist()
            for split, (_, labels) in (("train", self.train), ("test", self.test))
        }

    def digest(self) -> str:
        """A hash of images and labels that neither compression nor the integer type of the labels changes."""
        sha = hashlib.sha256()
        for images, labels in (self.train, self.test):
            sha.update(repr(images.shape).encode())
            sha.update(np.ascontiguousarray(images).data)
            sha.update(labels.astype("<i8").data)
        return sha.hexdigest()


def load_arrays(path: Path) -> NpzArrays:
    """Raises UserError for a file that is damaged or has other arrays."""
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            arrays = {name: file[name] for name in (*REQUIRED, "classes") if name in file}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a readable .npz file ({error}); {npz_hint(path.stem)}") from error
    train, test = (_checked_split(path, split, arrays) for split in ("train", "test"))
    largest = max(int(labels.max()) for _, labels in (train, test))
    if "classes" not in arrays and largest >= MAX_UNNAMED:
        raise UserError(
            f"{path} has a label {largest}; labels are numbers of classes, from 0, below {MAX_UNNAMED:,} without an "
            "array classes, the names"
        )
    num_classes = _count_names(path, arrays["classes"]) if "classes" in arrays else largest + 1
    if largest >= num_classes:
        raise UserError(f"{path}: classes has {num_classes} names, but there is a label {largest}")
    return NpzArrays(train, test, num_classes)


def _count_names(path: Path, names: NDArray[Any]) -> int:
    if names.ndim != 1:
        raise UserError(f"{path}: classes must be (num_classes,), the names of the classes, got {names.shape}")
    if len({*names.tolist()}) < len(names):
        raise UserError(f"{path}: classes has a name twice; each class needs a name of its own")
    return len(names)


def load_npz(data: DataConfig) -> tuple[Split, Split]:
    """Train and test split, of the image size and the number of classes that `data` sets. Raises UserError."""
    path = npz_path(data)
    arrays = load_arrays(path)
    expected = (data.image_size, data.image_size, 3)
    for split, (images, labels) in (("train", arrays.train), ("test", arrays.test)):
        if images.shape[1:] != expected:
            wanted = f"(N, {data.image_size}, {data.image_size}, 3) uint8 for data.image_size={data.image_size}"
            raise UserError(f"{path}: x_{split} must be {wanted}, got {images.shape}")
        if data.num_classes is not None and labels.max() >= data.num_classes:
            allowed = f"0..{data.num_classes - 1} for data.num_classes={data.num_classes}"
            raise UserError(f"{path}: y_{split} must lie in {allowed}, got {labels.min()}..{labels.max()}")
    return arrays.train, arrays.test


def _checked_split(path: Path, split: str, arrays: dict[str, np.ndarray]) -> Split:
    for name in (f"x_{split}", f"y_{split}"):
        if name not in arrays:
            raise UserError(f"{path} has no array {name}; it must hold x_train, y_train, x_test and y_test")
    images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise UserError(f"{path}: x_{split} must be (N, H, W, 3) uint8, got {images.shape} {images.dtype}")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise UserError(f"{path}: y_{split} must be ({len(images)},) integers, got {labels.shape} {labels.dtype}")
    if len(labels) == 0:
        raise UserError(f"{path}: x_{split} must hold at least 1 image, got none")
    if labels.min() < 0:
        raise UserError(f"{path}: y_{split} must hold integers from 0, got {labels.min()}")
    return images, labels
