"""Download a data set into the folder that modernet reads it from. Needs internet.

python scripts/get_data.py cifar10 DIR        # -> DIR/cifar10.npz; train with data.root=DIR, or set MODERNET_DATA=DIR
python scripts/get_data.py cifar100 DIR       # -> DIR/cifar100.npz
python scripts/get_data.py imagenette DIR     # -> DIR/imagenette160/
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from modernet.cli import exit_on_error
from modernet.errors import ModernetError, UserError, describe


def write_npz(path: Path, train: Any, test: Any) -> None:
    """Write two of torchvision's CIFAR data sets as one .npz file, atomically.

    It holds x_train (N, 32, 32, 3) uint8, y_train (N,) uint8, the same of test, and the names of the classes.
    """
    part = path.with_suffix(".part.npz")
    np.savez(
        part,
        x_train=train.data,
        y_train=np.array(train.targets, dtype=np.uint8),
        x_test=test.data,
        y_test=np.array(test.targets, dtype=np.uint8),
        classes=np.array(train.classes),
    )
    part.replace(path)


def _get_cifar(name: str, class_name: str) -> Callable[[Path, str], Path]:
    def get(folder: Path, downloads: str) -> Path:
        from torchvision import datasets  # imports torch, which --help does not need

        dataset, path = getattr(datasets, class_name), folder / f"{name}.npz"
        write_npz(path, *(dataset(downloads, train=is_train, download=True) for is_train in (True, False)))
        return path

    return get


def _get_imagenette(folder: Path, downloads: str) -> Path:
    from torchvision.datasets import Imagenette

    Imagenette(downloads, split="train", size="160px", download=True)
    return (Path(downloads) / "imagenette2-160").rename(folder / "imagenette160")


DATA_SETS: dict[str, Callable[[Path, str], Path]] = {
    "cifar10": _get_cifar("cifar10", "CIFAR10"),
    "cifar100": _get_cifar("cifar100", "CIFAR100"),
    "imagenette": _get_imagenette,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(DATA_SETS), help="the data set")
    parser.add_argument("folder", type=Path, help="where to put it; data.root=FOLDER trains on it")
    arguments = parser.parse_args()

    with exit_on_error():
        try:
            arguments.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the folder {arguments.folder} cannot be made ({describe(error)})") from error
        with TemporaryDirectory(dir=arguments.folder) as downloads:
            try:
                print(DATA_SETS[arguments.name](arguments.folder, downloads))
            except (OSError, RuntimeError) as error:
                raise ModernetError(f"the download failed ({describe(error)})") from error
