"""Download a data set and write it as the .npz file that modernet reads. Needs internet.

python scripts/get_data.py cifar10 DIR      # -> DIR/cifar10.npz; then data.root=DIR, or MODERNET_DATA=DIR
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torchvision.datasets import CIFAR10

SETS = {"cifar10": CIFAR10}


def write_npz(path: Path, train: CIFAR10, test: CIFAR10) -> None:
    """x_train (N, 32, 32, 3) uint8, y_train (N,) uint8, the same for test, and the classes' names; all or nothing."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(SETS))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()

    arguments.folder.mkdir(parents=True, exist_ok=True)
    path = arguments.folder / f"{arguments.name}.npz"
    with TemporaryDirectory(dir=arguments.folder) as downloads:
        try:
            train, test = (SETS[arguments.name](downloads, train=part, download=True) for part in (True, False))
        except (OSError, RuntimeError) as error:
            sys.exit(f"get_data.py: error: the download failed ({error})")
        write_npz(path, train, test)
    print(path)


if __name__ == "__main__":
    main()
