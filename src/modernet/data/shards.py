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

from modernet.data.augment import Labels, finish, normalize
from modernet.errors import UserError
from modernet.data.image_folder import Cut, Sample, decoded, moved
from modernet.runtime.distributed import BatchLayout
from modernet.runtime.seeding import Purpose, derive_seed, permutation, seed_everything
from modernet.config.schema import DataConfig, RecipeConfig


def read_shards(data: DataConfig) -> tuple[list[str], list[str]]:
    """The addresses of the shards to train on, and of those to evaluate on. Raises UserError where there are none."""
    if data.root is None or data.train_images is None:
        raise UserError(f"data={data.name} needs data.root=DIR and data.train_images=N, the number of images in there")

    def listed(split: str) -> list[str]:
        assert data.root is not None
        if "{split}" in data.root:
            return expand_urls(data.root.replace("{split}", split))
        found = sorted(map(str, Path(data.root).glob(f"{split}-*.tar")))
        if not found:
            raise UserError(
                f"there is no {split}-*.tar in {data.root}; or data.root is an address with {{split}} in it"
            )
        return found

    train = listed("train")
    if data.split == "train/val":
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
    layout: BatchLayout
    epoch: int  # below 0 is evaluation: every sample once, in order
    skip: int = 0  # passes that were taken before

    def __iter__(self) -> Iterator[Sample]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        # DataLoader takes a pass of each worker in turn, from worker 0 on; after `skip` passes it is another's turn.
        worker = (worker + self.skip) % workers
        rounds = (self.skip + workers - 1 - worker) // workers  # passes it gave before
        lane, lanes = self.layout.env.rank * workers + worker, self.layout.env.world_size * workers
        if self.epoch < 0:
            for sample in self._read(self.urls[lane::lanes]):
                yield self.cut.evaluation(_picture(sample)), _label(sample)
            return
        key = self.cut.seed, Purpose.ORDER, self.epoch
        order = [self.urls[i] for i in permutation(len(self.urls), *key).tolist()]
        mine = order[lane::lanes] or order  # more workers than shards: they share
        endless = chain.from_iterable(map(self._read, repeat(mine)))
        shuffled = shuffle(SHUFFLED, rng=random.Random(derive_seed(*key, lane)))(endless)
        for number, sample in enumerate(islice(shuffled, rounds * self.layout.micro_batch_size, None)):
            yield (
                self.cut.training(_picture(sample), self.epoch, lane, number + rounds * self.layout.micro_batch_size),
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
    data: DataConfig
    recipe: RecipeConfig
    seed: int
    layout: BatchLayout
    device: torch.device
    num_workers: int

    @property
    def num_images(self) -> int:
        assert self.data.train_images is not None
        return self.data.train_images

    def _loader(self, urls: list[str], epoch: int, skip: int = 0) -> DataLoader:
        cut = Cut(self.data, self.recipe, self.seed)
        return DataLoader(
            Stream(urls, cut, self.layout, epoch, skip),
            batch_size=self.layout.micro_batch_size,
            num_workers=self.num_workers,
            pin_memory=self.device.type == "cuda",
        )

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """As many passes as fill the epoch, from step `start` on, as this process has to take them."""
        passes = self.layout.grad_accum_steps
        left = (self.num_images // self.layout.batch_size - first_step) * passes
        loader = self._loader(self.train, epoch, first_step * passes)
        for number, (images, labels) in enumerate(islice(loader, left), first_step * passes):
            seed_everything(self.seed, Purpose.AUGMENT, epoch, number, self.layout.env.rank)
            yield finish(*moved(images, labels, self.device), self.data, self.recipe)

    def eval_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, over all processes together."""
        for images, labels in self._loader(self.test, epoch=-1):
            some, theirs = moved(images, labels, self.device)
            yield normalize(some, self.data), theirs
