"""Data sets in shards, tar files in the WebDataset format, streamed, decoded and cropped by worker processes."""

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from webdataset.compat import WebDataset
from webdataset.filters import shuffle

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data.augment import Labels, normalize, normalize_and_mix
from modernet.data.file_lists import list_shards
from modernet.data.image_folder import EVAL_EPOCH, Sample, to_device
from modernet.data.transforms import ImageTransform, decode_image
from modernet.errors import UserError
from modernet.runtime.distributed import BatchLayout
from modernet.runtime.seeding import Purpose, derive_seed, permutation, seed_everything

IMAGE_KEYS = ("jpg", "jpeg", "png", "webp")  # names of a sample's image in the tar file
LABEL_KEY = "cls"
SHUFFLE_BUFFER = 1000  # samples
HELD_OUT_EVERY = 10  # every tenth shard of train is held out by data.split=train/val


def load_shard_lists(data: DataConfig) -> tuple[list[str], list[str]]:
    """Addresses of the shards to train on and of those to evaluate on. Raises UserError where there are none."""
    train, val = list_shards(data)
    if data.split == "train/test":
        return train, val
    if len(train) < 2:
        raise UserError(f"data.split=train/val holds shards of train out and needs at least 2, got {len(train)}")
    kept = [url for number, url in enumerate(train) if number % HELD_OUT_EVERY]
    return kept, train[::HELD_OUT_EVERY]


@dataclass(frozen=True)
class ShardDataset(IterableDataset[Sample]):
    """The samples of this rank; each worker process reads different shards."""

    urls: list[str]
    transform: ImageTransform
    layout: BatchLayout
    epoch: int  # EVAL_EPOCH: every sample once, in order
    skipped_batches: int = 0  # micro-batches of this rank that were trained before

    def __iter__(self) -> Iterator[Sample]:
        info = get_worker_info()
        worker, num_workers = (info.id, info.num_workers) if info else (0, 1)
        # DataLoader takes one batch from each worker in turn, beginning with worker 0. After `skipped_batches` it is
        # the turn of another worker, whose shards worker 0 must read.
        worker = (worker + self.skipped_batches) % num_workers
        rank, world_size = self.layout.env.rank, self.layout.env.world_size
        stream, num_streams = rank * num_workers + worker, world_size * num_workers
        if self.epoch == EVAL_EPOCH:
            return self._eval_samples(self.urls[stream::num_streams])
        trained_batches = (self.skipped_batches + num_workers - 1 - worker) // num_workers  # by this stream
        return self._train_samples(stream, num_streams, trained_batches * self.layout.micro_batch_size)

    def _eval_samples(self, urls: list[str]) -> Iterator[Sample]:
        for sample in self._read(urls):
            yield self.transform.eval_transform(_decode(sample)), _label(sample)

    def _train_samples(self, stream: int, num_streams: int, first: int) -> Iterator[Sample]:
        seed_key = self.transform.seed, Purpose.ORDER, self.epoch
        order = [self.urls[number] for number in permutation(len(self.urls), *seed_key).tolist()]
        urls = order[stream::num_streams] or order  # more workers than shards: each reads all of them
        endless = chain.from_iterable(map(self._read, repeat(urls)))
        shuffled = shuffle(SHUFFLE_BUFFER, rng=random.Random(derive_seed(*seed_key, stream)))(endless)
        for number, sample in enumerate(islice(shuffled, first, None), first):
            yield self.transform.train_transform(_decode(sample), self.epoch, stream, number), _label(sample)

    @staticmethod
    def _read(urls: list[str]) -> Iterator[dict[str, Any]]:
        if urls:
            # The splitters are off: __iter__ has divided the shards already.
            yield from WebDataset(urls, shardshuffle=False, nodesplitter=None, workersplitter=None, empty_check=False)


def _decode(sample: dict[str, Any]) -> Image.Image:
    key = next((key for key in IMAGE_KEYS if key in sample), None)
    if key is None:
        raise ValueError(f"{sample['__url__']}: sample {sample['__key__']} has no image ({', '.join(IMAGE_KEYS)})")
    return decode_image(io.BytesIO(sample[key]))


def _label(sample: dict[str, Any]) -> int:
    return int(sample[LABEL_KEY])


@dataclass(frozen=True)
class ShardLoader:
    """Batches of images in shards. Their order depends on the number of ranks and workers."""

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

    def _data_loader(self, urls: list[str], epoch: int, skipped_batches: int = 0) -> DataLoader:
        transform = ImageTransform(self.data, self.recipe, self.seed)
        return DataLoader(
            ShardDataset(urls, transform, self.layout, epoch, skipped_batches),
            batch_size=self.layout.micro_batch_size,
            num_workers=self.num_workers,
            pin_memory=self.device.type == "cuda",
        )

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """This rank's micro-batches of an epoch, from optimizer step `first_step` on; as many as fill the epoch."""
        layout = self.layout
        first = first_step * layout.grad_accum_steps
        last = self.num_images // layout.batch_size * layout.grad_accum_steps
        loader = self._data_loader(self.train, epoch, first)
        for number, (images, labels) in enumerate(islice(loader, last - first), first):
            seed_everything(self.seed, Purpose.AUGMENT, epoch, number, layout.env.rank)
            yield normalize_and_mix(*to_device(images, labels, self.device), self.data, self.recipe)

    def eval_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's images of the evaluated split."""
        for batch, batch_labels in self._data_loader(self.test, EVAL_EPOCH):
            images, labels = to_device(batch, batch_labels, self.device)
            yield normalize(images, self.data), labels
