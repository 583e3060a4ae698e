"""Data sets of image files in a tree of folders, decoded and cut by worker processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from modernet.data.in_memory import held_out
from modernet.data.augment import Labels, finish, normalize, rand_augment
from modernet.errors import UserError
from modernet.runtime.distributed import BatchLayout
from modernet.runtime.seeding import Purpose, permutation, seed_everything
from modernet.config.schema import DataConfig, RecipeConfig

Key = tuple[int, int]  # epoch, index
Sample = tuple[Tensor, int]  # (3, H, W) uint8 image, label


@dataclass(frozen=True)
class Cut:
    """From a picture of any size and mode to (3, image_size, image_size) uint8."""

    data: DataConfig
    recipe: RecipeConfig
    seed: int

    @cached_property
    def _training(self) -> v2.Compose:
        flip = [v2.RandomHorizontalFlip()] if self.data.flip else []
        bicubic = v2.InterpolationMode.BICUBIC
        cut = v2.RandomResizedCrop(self.data.image_size, scale=(0.08, 1), interpolation=bicubic)
        return v2.Compose([cut, *flip, v2.PILToTensor()])

    @cached_property
    def _evaluation(self) -> v2.Compose:
        bicubic = v2.InterpolationMode.BICUBIC
        side = round(self.data.image_size / self.data.crop_pct)
        return v2.Compose([v2.Resize(side, bicubic), v2.CenterCrop(self.data.image_size), v2.PILToTensor()])

    def training(self, image: Image.Image, *key: int) -> Tensor:
        """A random part of it, augmented; the same for the same key, whichever process does it."""
        seed_everything(self.seed, Purpose.SAMPLE, *key)
        part = self._training(image)[None]
        return rand_augment(part, self.recipe.randaugment, self.recipe.randaugment_std, self.data.mean)[0]

    def evaluation(self, image: Image.Image) -> Tensor:
        """Resized, and the middle of it."""
        return self._evaluation(image)


def decoded(file: Any) -> Image.Image:
    """The picture of a path or an open file, as RGB: greyscale, CMYK and palettes too."""
    with Image.open(file) as image:
        return image.convert("RGB")


@dataclass(frozen=True)
class Tree(Dataset[Sample]):
    """The files of one split, by (epoch, index); an epoch below 0 is evaluation."""

    files: list[tuple[str, int]]
    cut: Cut

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: Key) -> Sample:
        epoch, index = key
        path, label = self.files[index]
        image = decoded(path)
        return (self.cut.evaluation(image) if epoch < 0 else self.cut.training(image, epoch, index)), label


class Keys:
    """What DataLoader is to load, a list of keys for each pass; set anew for every epoch."""

    def __init__(self) -> None:
        self.lists: list[list[Key]] = []

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.lists)

    def __len__(self) -> int:
        return len(self.lists)


def read_tree(data: DataConfig) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """(path, label) of the images to train on, and of those to evaluate on; raises UserError for another tree."""
    if data.root is None:
        raise UserError(f"data={data.name} needs to know where its folder lies: data.root=DIR or MODERNET_DATA=DIR")
    root = Path(data.root)
    nested = {"imagenette": "imagenette160", "imagenet": "imagenet"}
    root = root / nested[data.name] if data.name in nested else root
    splits = []
    for part in ("train", "val"):
        folder = root / part
        try:
            tree = ImageFolder(str(folder))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UserError(f"{folder} must hold a folder of images for each class ({error})") from error
        if len(tree.classes) != data.num_classes:
            raise UserError(f"{folder} has {len(tree.classes)} classes, data.num_classes={data.num_classes} were expected")
        splits.append(tree)
    train, test = splits
    if train.classes != test.classes:
        raise UserError(f"{root}: train and val must have the same classes")
    if data.split == "train/val":
        kept, held = held_out(np.array(train.targets))
        return [train.samples[i] for i in kept], [train.samples[i] for i in held]
    return train.samples, test.samples


@dataclass(frozen=True)
class ImageFolderLoader:
    """Batches of images that lie as files in a tree."""

    train: list[tuple[str, int]]
    test: list[tuple[str, int]]
    data: DataConfig
    recipe: RecipeConfig
    seed: int
    layout: BatchLayout
    device: torch.device
    num_workers: int

    @property
    def num_images(self) -> int:
        return len(self.train)

    def _loader(self, files: list[tuple[str, int]], keys: Keys) -> DataLoader:
        return DataLoader(
            Tree(files, Cut(self.data, self.recipe, self.seed)),
            batch_sampler=keys,  # pyright: ignore[reportArgumentType]
            num_workers=self.num_workers,
            pin_memory=self.device.type == "cuda",
            persistent_workers=self.num_workers > 0,
        )

    @cached_property
    def _train(self) -> tuple[DataLoader, Keys]:
        keys = Keys()
        return self._loader(self.train, keys), keys

    @cached_property
    def _test(self) -> tuple[DataLoader, Keys]:
        keys = Keys()
        return self._loader(self.test, keys), keys

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """An epoch in its own order from step `start` on, a pass at a time, as this process has to take them."""
        batch, env = self.layout.batch_size, self.layout.env
        steps = len(self.train) // batch
        order = permutation(len(self.train), self.seed, Purpose.ORDER, epoch).tolist()
        loader, keys = self._train
        keys.lists = [
            [(epoch, index) for index in order[step * batch : (step + 1) * batch][part]]
            for step in range(first_step, steps)
            for part in self.layout.micro_batches()
        ]
        for number, (images, labels) in enumerate(loader, first_step * self.layout.grad_accum_steps):
            seed_everything(self.seed, Purpose.AUGMENT, epoch, number, env.rank)
            yield finish(*moved(images, labels, self.device), self.data, self.recipe)

    def eval_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, over all processes together."""
        loader, keys = self._test
        env, size = self.layout.env, self.layout.micro_batch_size
        mine = list(range(env.rank, len(self.test), env.world_size))
        keys.lists = [[(-1, index) for index in mine[first : first + size]] for first in range(0, len(mine), size)]
        for images, labels in loader:
            some, theirs = moved(images, labels, self.device)
            yield normalize(some, self.data), theirs


def moved(images: Tensor, labels: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """To the device, without waiting for it."""
    return images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
