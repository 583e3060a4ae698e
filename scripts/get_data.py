"""Download a data set and put it where modernet reads it. Needs internet.

python scripts/get_data.py cifar10 DIR        # -> DIR/cifar10.npz; then data.root=DIR, or MODERNET_DATA=DIR
python scripts/get_data.py cifar100 DIR       # -> DIR/cifar100.npz
python scripts/get_data.py imagenette DIR     # -> DIR/imagenette160/
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100, Imagenette


def write_npz(path: Path, train: Any, test: Any) -> None:
    """x_train (N, 32, 32, 3) uint8, y_train (N,) uint8, the same for test, and the classes' names; all or nothing."""
    part = path.with_suffix(".part.npz")
    np.savez(
        part,
        x_train=train.data,
        y_train=np.array(train.targets, dtype=np.uint8),
        x_test=test.data,
        y_test=np.array(test.targets, dtype=np.uint8),
        num_classes=np.array(train.classes),
    )
    part.replace(path)


def cifar(name: str, kind: type[CIFAR10]) -> Callable[[Path, str], Path]:
    def get(folder: Path, downloads: str) -> Path:
        path = folder / f"{name}.npz"
        write_npz(path, *(kind(downloads, train=part, download=True) for part in (True, False)))
        return path

    return get


def imagenette(folder: Path, downloads: str) -> Path:
    Imagenette(downloads, split="train", size="160px", download=True)
    return (Path(downloads) / "imagenette2-160").rename(folder / "imagenette160")


SETS = {"cifar10": cifar("cifar10", CIFAR10), "cifar100": cifar("cifar100", CIFAR100), "imagenette": imagenette}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(SETS))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()

    arguments.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=arguments.folder) as downloads:
        try:
            print(SETS[arguments.name](arguments.folder, downloads))
        except (OSError, RuntimeError) as error:
            sys.exit(f"get_data.py: error: the download failed ({error})")


if __name__ == "__main__":
    main()
