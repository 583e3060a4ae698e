"""Download a data set into the folder that modernet reads it from. Needs internet; the same command resumes.

modernet get_data cifar10 DIR        # -> DIR/cifar10.npz; train with data.root=DIR, or set MODERNET_DATA=DIR
modernet get_data cifar100 DIR       # -> DIR/cifar100.npz
modernet get_data imagenette DIR     # -> DIR/imagenette160/
modernet get_data imagewoof DIR      # -> DIR/imagewoof160/
modernet get_data tiny_imagenet DIR  # -> DIR/tiny_imagenet.npz
modernet get_data imagenet64 DIR     # -> DIR/imagenet64.npz; 14 GB, may need an account
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

from modernet.cli import exit_on_error
from modernet.data import conversion
from modernet.data.download import Archive, fetch
from modernet.data.file_paths import SUBFOLDERS
from modernet.errors import ModernetError, UserError
from modernet.runtime.text import describe

FASTAI = "https://s3.amazonaws.com/fast-ai-imageclas"
IMAGENET = "http://www.image-net.org/image/downsample"
# Sources of the checksums: torchvision (cifar, imagenette), public loaders that pair it with torchvision's of
# imagenette (imagewoof), Avalanche (tiny_imagenet), TensorFlow Datasets' imagenet_resized (imagenet64).
IMAGENETTE = Archive(f"{FASTAI}/imagenette2-160.tgz", "md5", "e793b78cc4c9e9a4ccc0c1155377a412")
IMAGEWOOF = Archive(f"{FASTAI}/imagewoof2-160.tgz", "md5", "3d200a7be99704a0d7509be2a9fbfe15")
TINY_IMAGENET = Archive("http://cs231n.stanford.edu/tiny-imagenet-200.zip", "md5", "90528d7ca1a48142e341f4ef8d21d0de")
IMAGENET64 = (
    Archive(
        f"{IMAGENET}/Imagenet64_train_part1_npz.zip",
        "sha256",
        "9422dc1dc5d092e9814a70a1cb7fc74880d2db5d88a0cb8a34ee363b12bde3f1",
    ),
    Archive(
        f"{IMAGENET}/Imagenet64_train_part2_npz.zip",
        "sha256",
        "9fafc115afb7e6c301e66dc16b2d737152b427bd5dab26e1293487a6819c7f30",
    ),
    Archive(
        f"{IMAGENET}/Imagenet64_val_npz.zip",
        "sha256",
        "e1e75133158a1924135a9c6f97a80d2d237b158945e0b34074e58e6c8430eeb8",
    ),
)

DOWNLOADS = ".downloads"  # in the folder; removed when the data set is complete
Get = Callable[[Path, Path], None]  # the folder of archives, and the path of the data set


def _get_cifar(class_name: str) -> Get:
    def get(downloads: Path, path: Path) -> None:
        from torchvision import datasets  # imports torch, which --help does not need

        dataset = getattr(datasets, class_name)
        archive = fetch(Archive(dataset.url, "md5", dataset.tgz_md5), downloads)
        conversion.convert_cifar(archive, dataset, path)

    return get


def _get_folder(archive: Archive) -> Get:
    member = archive.name.removesuffix(".tgz")
    return lambda downloads, path: conversion.extract_folder(fetch(archive, downloads), member, path)


def _get_tiny_imagenet(downloads: Path, path: Path) -> None:
    conversion.convert_tiny_imagenet(fetch(TINY_IMAGENET, downloads), path)


def _get_imagenet64(downloads: Path, path: Path) -> None:
    advice = f"; where it asks for an account, put the file of image-net.org/download-images.php in {downloads}"
    *train, val = (fetch(archive, downloads, advice) for archive in IMAGENET64)
    conversion.convert_imagenet64(train, val, path)


# Data sets with a file of their name, and those with a folder.
DATA_SETS: dict[str, Get] = {
    "cifar10": _get_cifar("CIFAR10"),
    "cifar100": _get_cifar("CIFAR100"),
    "imagenette": _get_folder(IMAGENETTE),
    "imagewoof": _get_folder(IMAGEWOOF),
    "tiny_imagenet": _get_tiny_imagenet,
    "imagenet64": _get_imagenet64,
}


def get_data(name: str, folder: Path) -> Path:
    """The data set in `folder`, downloaded where it is not there yet. Raises ModernetError or UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made ({describe(error)})") from error
    path, downloads = folder / SUBFOLDERS.get(name, f"{name}.npz"), folder / DOWNLOADS / name
    if not path.exists():
        try:
            DATA_SETS[name](downloads, path)
        except (OSError, RuntimeError) as error:
            raise ModernetError(f"{name} cannot be written to {folder} ({describe(error)})") from error
        shutil.rmtree(downloads)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(DATA_SETS), help="the data set")
    parser.add_argument("folder", type=Path, help="where to put it; data.root=FOLDER trains on it")
    with exit_on_error():
        arguments = parser.parse_args()
        print(get_data(arguments.name, arguments.folder))


if __name__ == "__main__":
    main()
