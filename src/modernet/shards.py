"""Data sets in shards, tar files in the WebDataset format, streamed, decoded and cut by worker processes."""

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from webdataset.compat import WebDataset
from webdataset.filters import shuffle
from webdataset.shardlists import expand_urls

from modernet.augment import Labels, finish, normalize
from modernet.errors import UserError
from modernet.files import Cut, Sample, decoded, moved
from modernet.place import Share
from modernet.rng import Purpose, derive, permutation, seed_all
from modernet.spec import DataSpec, Recipe


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
        if len(train) < 2:
            raise UserError(f"data.split=train/val holds shards out and needs at least 2, got {len(train)}")
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
        worker = (worker + self.skip) % workers
        rounds = (self.skip + workers - 1 - worker) // workers  # passes it gave before
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
            yield finish(*moved(images, labels, self.device), self.spec, self.recipe)

    def evaluation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, over all processes together."""
        for images, labels in self._loader(self.test, epoch=-1):
            some, theirs = moved(images, labels, self.device)
            yield normalize(some, self.spec), theirs
