"""Data sets of image files, in a tree of folders or in shards, decoded and cut by worker processes."""

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from webdataset.compat import WebDataset
from webdataset.filters import shuffle
from webdataset.shardlists import expand_urls

from modernet.arrays import held_out
from modernet.augment import Labels, finish, normalize, rand_augment
from modernet.errors import UserError
from modernet.place import Share
from modernet.rng import Purpose, derive, permutation, seed_all
from modernet.spec import DataSpec, Recipe

Key = tuple[int, int]  # epoch, index
Sample = tuple[Tensor, int]  # (3, H, W) uint8 image, label


@dataclass(frozen=True)
class Cut:
    """From a picture of any size and mode to (3, image_size, image_size) uint8."""

    spec: DataSpec
    recipe: Recipe
    seed: int

    @cached_property
    def _training(self) -> v2.Compose:
        flip = [v2.RandomHorizontalFlip()] if self.spec.flip else []
        bicubic = v2.InterpolationMode.BICUBIC
        cut = v2.RandomResizedCrop(self.spec.image_size, scale=(0.08, 1), interpolation=bicubic)
        return v2.Compose([cut, *flip, v2.PILToTensor()])

    @cached_property
    def _evaluation(self) -> v2.Compose:
        bicubic = v2.InterpolationMode.BICUBIC
        side = round(self.spec.image_size / self.spec.test_crop)
        return v2.Compose([v2.Resize(side, bicubic), v2.CenterCrop(self.spec.image_size), v2.PILToTensor()])

    def training(self, image: Image.Image, *key: int) -> Tensor:
        """A random part of it, augmented; the same for the same key, whichever process does it."""
        seed_all(self.seed, Purpose.SAMPLE, *key)
        part = self._training(image)[None]
        return rand_augment(part, self.recipe.randaugment, self.recipe.randaugment_std, self.spec.mean)[0]

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


def read_tree(spec: DataSpec) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """(path, label) of the images to train on, and of those to evaluate on; raises UserError for another tree."""
    if spec.root is None:
        raise UserError(f"data={spec.name} needs to know where its folder lies: data.root=DIR or MODERNET_DATA=DIR")
    root = Path(spec.root)
    nested = {"imagenette": "imagenette160", "imagenet": "imagenet"}
    root = root / nested[spec.name] if spec.name in nested else root
    splits = []
    for part in ("train", "val"):
        folder = root / part
        try:
            tree = ImageFolder(str(folder))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UserError(f"{folder} must hold a folder of images for each class ({error})") from error
        if len(tree.classes) != spec.classes:
            raise UserError(f"{folder} has {len(tree.classes)} classes, data.classes={spec.classes} were expected")
        splits.append(tree)
    train, test = splits
    if train.classes != test.classes:
        raise UserError(f"{root}: train and val must have the same classes")
    if spec.split == "train/val":
        kept, held = held_out(np.array(train.targets))
        return [train.samples[i] for i in kept], [train.samples[i] for i in held]
    return train.samples, test.samples


@dataclass(frozen=True)
class FileLoader:
    """Batches of images that lie as files in a tree."""

    train: list[tuple[str, int]]
    test: list[tuple[str, int]]
    spec: DataSpec
    recipe: Recipe
    seed: int
    share: Share
    device: torch.device
    workers: int

    @property
    def images(self) -> int:
        return len(self.train)

    def _loader(self, files: list[tuple[str, int]], keys: Keys) -> DataLoader:
        return DataLoader(
            Tree(files, Cut(self.spec, self.recipe, self.seed)),
            batch_sampler=keys,  # pyright: ignore[reportArgumentType]
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            persistent_workers=self.workers > 0,
        )

    @cached_property
    def _train(self) -> tuple[DataLoader, Keys]:
        keys = Keys()
        return self._loader(self.train, keys), keys

    @cached_property
    def _test(self) -> tuple[DataLoader, Keys]:
        keys = Keys()
        return self._loader(self.test, keys), keys

    def training(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """An epoch in its own order from step `start` on, a pass at a time, as this process has to take them."""
        batch, place = self.share.batch, self.share.place
        steps = len(self.train) // batch
        order = permutation(len(self.train), self.seed, Purpose.ORDER, epoch).tolist()
        loader, keys = self._train
        keys.lists = [
            [(epoch, index) for index in order[step * batch : (step + 1) * batch][part]]
            for step in range(start, steps)
            for part in self.share.slices()
        ]
        for number, (images, labels) in enumerate(loader, start * self.share.passes):
            seed_all(self.seed, Purpose.AUGMENT, epoch, number, place.rank)
            yield finish(*_moved(images, labels, self.device), self.spec, self.recipe)

    def evaluation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, over all processes together."""
        loader, keys = self._test
        place, size = self.share.place, self.share.device_batch
        mine = list(range(place.rank, len(self.test), place.world))
        keys.lists = [[(-1, index) for index in mine[first : first + size]] for first in range(0, len(mine), size)]
        for images, labels in loader:
            some, theirs = _moved(images, labels, self.device)
            yield normalize(some, self.spec), theirs


def _moved(images: Tensor, labels: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    return images.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def read_shards(spec: DataSpec) -> tuple[list[str], list[str]]:
    """The addresses of the shards to train on, and of those to evaluate on. Raises UserError where there are none."""
    if spec.root is None or spec.train_images is None:
        raise UserError(f"data={spec.name} needs data.root=DIR and data.train_images=N, the number of images in there")

    def listed(split: str) -> list[str]:
        assert spec.root is not None
        if "{split}" in spec.root:
            return expand_urls(spec.root.replace("{split}", split))
        found = sorted(map(str, Path(spec.root).glob(f"{split}-*.tar")))
        if not found:
            raise UserError(
                f"there is no {split}-*.tar in {spec.root}; or data.root is an address with {{split}} in it"
            )
        return found

    train = listed("train")
    if spec.split == "train/val":
        return [url for i, url in enumerate(train) if i % 10], train[::10]
    return train, listed("val")


KINDS = ("jpg", "jpeg", "png", "webp")
SHUFFLED = 1000  # samples in the buffer they are drawn from


@dataclass(frozen=True)
class Stream(IterableDataset[Sample]):
    """The samples of one process's shards; each worker has shards of its own."""

    urls: list[str]
    cut: Cut
    share: Share
    epoch: int  # below 0 is evaluation: every sample once, in order
    skip: int = 0  # passes that were taken before

    def __iter__(self) -> Iterator[Sample]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        # DataLoader takes a pass of each worker in turn, from worker 0 on; after `skip` passes it is another's turn.
        worker, rounds = (
            (worker + self.skip) % workers,
            (self.skip + workers - 1 - (worker + self.skip) % workers) // workers,
        )
        lane, lanes = self.share.place.rank * workers + worker, self.share.place.world * workers
        if self.epoch < 0:
            for sample in self._read(self.urls[lane::lanes]):
                yield self.cut.evaluation(_picture(sample)), _label(sample)
            return
        key = self.cut.seed, Purpose.ORDER, self.epoch
        order = [self.urls[i] for i in permutation(len(self.urls), *key).tolist()]
        mine = order[lane::lanes] or order  # more workers than shards: they share
        endless = chain.from_iterable(map(self._read, repeat(mine)))
        shuffled = shuffle(SHUFFLED, rng=random.Random(derive(*key, lane)))(endless)
        for number, sample in enumerate(islice(shuffled, rounds * self.share.device_batch, None)):
            yield (
                self.cut.training(_picture(sample), self.epoch, lane, number + rounds * self.share.device_batch),
                _label(sample),
            )

    @staticmethod
    def _read(urls: list[str]) -> Iterator[dict[str, Any]]:
        if urls:
            # Which shards are whose is decided above.
            yield from WebDataset(urls, shardshuffle=False, nodesplitter=None, workersplitter=None, empty_check=False)


def _picture(sample: dict[str, Any]) -> Image.Image:
    kind = next((kind for kind in KINDS if kind in sample), None)
    if kind is None:
        raise ValueError(f"{sample['__url__']}: sample {sample['__key__']} has no picture ({', '.join(KINDS)})")
    return decoded(io.BytesIO(sample[kind]))


def _label(sample: dict[str, Any]) -> int:
    return int(sample["cls"])


@dataclass(frozen=True)
class ShardLoader:
    """Batches of images that lie in shards. Their order depends on the number of processes and workers."""

    train: list[str]
    test: list[str]
    spec: DataSpec
    recipe: Recipe
    seed: int
    share: Share
    device: torch.device
    workers: int

    @property
    def images(self) -> int:
        assert self.spec.train_images is not None
        return self.spec.train_images

    def _loader(self, urls: list[str], epoch: int, skip: int = 0) -> DataLoader:
        cut = Cut(self.spec, self.recipe, self.seed)
        return DataLoader(
            Stream(urls, cut, self.share, epoch, skip),
            batch_size=self.share.device_batch,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
        )

    def training(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """As many passes as fill the epoch, from step `start` on, as this process has to take them."""
        passes = self.share.passes
        left = (self.images // self.share.batch - start) * passes
        loader = self._loader(self.train, epoch, start * passes)
        for number, (images, labels) in enumerate(islice(loader, left), start * passes):
            seed_all(self.seed, Purpose.AUGMENT, epoch, number, self.share.place.rank)
            yield finish(*_moved(images, labels, self.device), self.spec, self.recipe)

    def evaluation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, over all processes together."""
        for images, labels in self._loader(self.test, epoch=-1):
            some, theirs = _moved(images, labels, self.device)
            yield normalize(some, self.spec), theirs
