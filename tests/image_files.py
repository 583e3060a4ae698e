"""Data sets of tiny image files, in class folders and in shards. The brightness of an image is its number."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers import data_config, recipe_config
from PIL import Image

from modernet.config.schema import DataConfig
from modernet.data.loader import Loader, build_loader
from modernet.runtime.distributed import DistributedEnv, batch_layout

FORMATS = {"RGB": "jpg", "L": "jpg", "CMYK": "jpg", "P": "png", "RGBA": "png", "LA": "png"}  # mode -> file format
NUM_TRAIN, NUM_VAL = 24, 7
CLASSES = ("cat", "dog")


def encode_image(number: int, mode: str = "RGB") -> bytes:
    """An image of 40 x 48 pixels, each of value 10 * number, as the content of a file."""
    image = Image.fromarray(np.full((40, 48, 3), 10 * number % 250, np.uint8))
    image = image.convert(mode)
    file = io.BytesIO()
    image.save(file, "jpeg" if FORMATS[mode] == "jpg" else "png")
    return file.getvalue()


def write_folder(root: Path) -> Path:
    """ROOT/train and ROOT/val with two classes and images of all modes."""
    for split, n in (("train", NUM_TRAIN), ("val", NUM_VAL)):
        for number in range(n):
            folder = root / split / CLASSES[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            mode = list(FORMATS)[number % len(FORMATS)]
            (folder / f"{number:02}.{FORMATS[mode]}").write_bytes(encode_image(number, mode))
    return root


def write_shards(root: Path) -> Path:
    """The same numbers of images in six and three tar files."""
    root.mkdir()
    for split, n, num_shards in (("train", NUM_TRAIN, 6), ("val", NUM_VAL, 3)):
        for shard in range(num_shards):
            labels = {number: number % 2 for number in range(shard, n, num_shards)}
            write_shard(root / f"{split}-{shard:03}.tar", labels)
    return root


def write_shard(path: Path, labels: dict[int, int]) -> None:
    """A tar file of the images with these numbers and labels."""
    with tarfile.open(path, "w") as tar:
        for number, label in labels.items():
            for key, content in (("jpg", encode_image(number)), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{number:04}.{key}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def files_config(kind: str, root: Path, /, **changes: Any) -> DataConfig:
    """data=KIND for one of these data sets, at 16 pixels."""
    shards = {"num_classes": 2, "train_images": NUM_TRAIN} if kind == "shards" else {}
    return data_config(kind, **{"root": str(root), "image_size": 16, **shards, **changes})


def files_loader(
    data: DataConfig,
    env: DistributedEnv | None = None,
    num_workers: int = 0,
    batch_size: int = 8,
    grad_accum_steps: int = 1,
    **recipe: Any,
) -> Loader:
    """A loader with all augmentation of the modern recipe, or with these changes."""
    env = env or DistributedEnv()
    layout = batch_layout(env, batch_size, batch_size // env.world_size // grad_accum_steps)
    recipe_ = recipe_config("modern", **{"batch_size": batch_size, **recipe})
    return build_loader(data, recipe_, 0, layout, torch.device("cpu"), num_workers)


def equal_batches(one: Any, other: Any) -> bool:
    """Whether two iterables of (images, labels) hold equal batches."""
    return all(torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in zip(one, other, strict=True))


def evaluated_numbers(loaders: list[Loader]) -> list[int]:
    """The numbers of all evaluated images, sorted."""
    data = data_config("folder")
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    images = [image * std + mean for loader in loaders for batch, _ in loader.eval_batches() for image in batch]
    return sorted(round(float(image.mean()) * 25.5) for image in images)
