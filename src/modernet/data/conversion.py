"""From the archives of published data sets to what the loaders read: one .npz file, or a folder of images."""

import pickle
import tarfile
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from modernet.errors import UserError

IMAGENET64 = 64  # pixels
# What the pickles of CIFAR hold besides numbers, texts, lists and dictionaries: arrays.
PICKLED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays and plain values, and executes nothing."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in PICKLED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} has no place in a data set")
        return super().find_class(module_name, global_name)


def convert_cifar(archive: Path, dataset: Any, path: Path) -> None:
    """The archive of a CIFAR as one .npz file, (N, 32, 32, 3); torchvision's class `dataset` names the files in it.

    Raises UserError for a pickle of something else than arrays: torchvision would execute it.
    """
    with tarfile.open(archive) as tar:

        def read(name: str) -> dict[str, Any]:
            file = tar.extractfile(f"{dataset.base_folder}/{name}")
            try:
                return _ArrayUnpickler(file, encoding="latin1").load()  # pyright: ignore[reportArgumentType]
            except pickle.UnpicklingError as error:
                raise UserError(f"{archive}: {name} is not a file of CIFAR ({error})") from error

        classes = read(dataset.meta["filename"])[dataset.meta["key"]]
        splits = [[read(name) for name, _ in files] for files in (dataset.train_list, dataset.test_list)]
    write_npz(path, *map(_join_cifar, splits), classes=classes)


def _join_cifar(batches: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    labels = "labels" if "labels" in batches[0] else "fine_labels"
    images = np.vstack([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    return images.transpose(0, 2, 3, 1), np.concatenate([batch[labels] for batch in batches]).astype(np.uint8)


def write_npz(path: Path, train: Any, test: Any, classes: Sequence[str] | None) -> None:
    """Write (images, labels) of both splits as one .npz file, atomically. Raises OSError that names `path`."""
    part = path.with_suffix(".part.npz")
    arrays: dict[str, Any] = {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}
    if classes is not None:
        arrays["classes"] = np.array(classes)
    try:
        np.savez(part, **arrays)
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def extract_folder(archive: Path, member: str, folder: Path) -> None:
    """The folder `member` of a tar archive as `folder`, which appears when it is complete."""
    with TemporaryDirectory(dir=folder.parent, prefix=".") as temporary:
        with tarfile.open(archive) as tar:
            tar.extractall(temporary, filter="data")
        (Path(temporary) / member).rename(folder)


def convert_tiny_imagenet(archive: Path, path: Path) -> None:
    """tiny-imagenet-200.zip as one .npz file: train, and its val as the test split, (N, 64, 64, 3).

    Classes are WordNet numbers in order, as those of an image folder.
    """
    with zipfile.ZipFile(archive) as file:
        root = "tiny-imagenet-200"
        rows = file.read(f"{root}/val/val_annotations.txt").decode().splitlines()
        val = {f"{root}/val/images/{name}": wnid for name, wnid, *_ in (row.split("\t") for row in rows)}
        names = sorted(name for name in file.namelist() if name.endswith(".JPEG"))
        train = {name: name.split("/")[2] for name in names if name.startswith(f"{root}/train/")}
        classes = sorted(set(train.values()))
        splits = [_read_images(file, split, classes) for split in (train, val)]
    write_npz(path, *splits, classes=classes)


def _read_images(file: zipfile.ZipFile, wnids: dict[str, str], classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, 3) uint8 and labels (N,) of the members of a zip file."""
    numbers = {wnid: number for number, wnid in enumerate(classes)}
    images = [np.asarray(Image.open(BytesIO(file.read(name)), formats=("JPEG",)).convert("RGB")) for name in wnids]
    return np.stack(images), np.array([numbers[wnid] for wnid in wnids.values()], dtype=np.int64)


def convert_imagenet64(train: Sequence[Path], val: Path, path: Path) -> None:
    """The downsampled ImageNet (Chrabaszcz et al. 2017) as one .npz file, (N, 64, 64, 3), labels from 0.

    Its parts hold rows of 3 x 64 x 64 values and labels from 1. The images pass through a file, so memory holds one
    part at a time.
    """
    with TemporaryDirectory(dir=path.parent, prefix=".") as temporary:
        parts = [_part(archive, Path(temporary)) for archive in (*train, val)]
        batches = [name for names in parts[:-1] for name in names]
        splits = [_join(names, Path(temporary) / f"{n}.npy") for n, names in enumerate((batches, parts[-1]))]
        write_npz(path, *splits, classes=None)


def _part(archive: Path, folder: Path) -> list[Path]:
    """The extracted .npz files of a part, sorted by name."""
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".npz"))
        return [Path(file.extract(name, folder)) for name in names]


def _join(batches: Sequence[Path], path: Path) -> tuple[np.ndarray, np.ndarray]:
    labels = []
    for batch in batches:
        with np.load(batch) as file:
            labels.append(file["labels"].astype(np.int64) - 1)
    shape = sum(map(len, labels)), IMAGENET64, IMAGENET64, 3
    images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    start = 0
    for batch in batches:
        with np.load(batch) as file:
            rows = file["data"]
        images[start : start + len(rows)] = rows.reshape(-1, 3, IMAGENET64, IMAGENET64).transpose(0, 2, 3, 1)
        start += len(rows)
        batch.unlink()
    return images, np.concatenate(labels)
