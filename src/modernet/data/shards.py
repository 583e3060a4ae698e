"""Batches from shards, tar files in the WebDataset format: read, decoded and cropped by worker processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data.augment import Labels, normalize
from modernet.data.decoding import decode_image
from modernet.data.file_batches import Batch, BatchAugmentation, load_batches, stack_images, to_device
from modernet.data.file_lists import list_shards
from modernet.data.shard_lanes import EpochLanes, Shard, num_lanes, read_shard
from modernet.data.shard_sizes import count_images
from modernet.data.transforms import ImageTransform
from modernet.errors import UserError
from modernet.runtime.distributed import BatchLayout, DistributedEnv
from modernet.runtime.signals import ignore_signals

IMAGE_KEYS = ("jpg", "jpeg", "png", "webp")  # names of a sample's image in the tar file
LABEL_KEY = "cls"
HELD_OUT_EVERY = 10  # every tenth shard of train is held out by data.split=train/val


def load_shards(data: DataConfig) -> tuple[list[Shard], list[str]]:
    """The shards to train on, and the addresses of those to evaluate on; all processes of a run call this together.

    Raises UserError where there are none, or where they do not hold data.train_images.
    """
    train, val = list_shards(data)
    sizes = count_images(train)
    if sum(sizes) != data.train_images:
        raise UserError(
            f"data.train_images={data.train_images}, but the {len(train)} shards of train hold {sum(sizes)} images"
        )
    shards = [Shard(url, size) for url, size in zip(train, sizes, strict=True)]
    if data.split == "train/test":
        return shards, val
    if len(shards) < 2:
        raise UserError(f"data.split=train/val holds shards of train out and needs at least 2, got {len(shards)}")
    kept = [shard for number, shard in enumerate(shards) if number % HELD_OUT_EVERY]
    return kept, train[::HELD_OUT_EVERY]


def _worker() -> tuple[int, int]:
    """Number of this worker process, and of all."""
    info = get_worker_info()
    return (info.id, info.num_workers) if info else (0, 1)


@dataclass(frozen=True)
class TrainBatches(IterableDataset[Batch]):
    """These micro-batches, decoded and cropped; worker processes take them in turn, as DataLoader does.

    Each worker reads the lanes of its micro-batches: other lanes than the other workers where the number of workers
    divides that of the rank's lanes. Otherwise several workers read a lane, and each decodes its own micro-batches.
    """

    lanes: EpochLanes
    numbers: list[int]  # of the micro-batches
    transform: ImageTransform
    augmentation: BatchAugmentation

    def __iter__(self) -> Iterator[Batch]:
        worker, num_workers = _worker()
        size, epoch = self.lanes.layout.micro_batch_size, self.lanes.epoch
        samples: dict[int, Iterator[tuple[int, dict[str, Any]]]] = {}  # by lane, numbered
        for number in self.numbers[worker::num_workers]:
            turn, lane = divmod(number, num_lanes(self.lanes.layout))
            if lane not in samples:
                samples[lane] = enumerate(self.lanes.samples(lane))
            taken = list(_take(samples[lane], turn * size, size))
            crops = (self.transform.random_crop(_decode(sample), epoch, lane, position) for position, sample in taken)
            images = stack_images(crops, size, self.transform.train_image_size)
            labels = torch.tensor([_label(sample) for _, sample in taken])
            yield self.augmentation.on_host(images, epoch, number), labels


def _take(
    numbered: Iterator[tuple[int, dict[str, Any]]], first: int, number: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The samples `first` to `first + number - 1`; those before are skipped."""
    for position, sample in numbered:
        if position >= first:
            yield position, sample
        if position == first + number - 1:
            return


@dataclass(frozen=True)
class EvalSamples(IterableDataset[tuple[Tensor, int]]):
    """The images of this rank, each once; every worker process reads other shards."""

    urls: list[str]
    transform: ImageTransform
    env: DistributedEnv

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        worker, num_workers = _worker()
        stream, num_streams = self.env.rank * num_workers + worker, self.env.world_size * num_workers
        for sample in chain.from_iterable(map(read_shard, self.urls[stream::num_streams])):
            yield self.transform.center_crop(_decode(sample)).permute(2, 0, 1).contiguous(), _label(sample)


def _decode(sample: dict[str, Any]) -> Tensor:
    key = next((key for key in IMAGE_KEYS if key in sample), None)
    if key is None:
        raise ValueError(f"{sample['__url__']}: sample {sample['__key__']} has no image ({', '.join(IMAGE_KEYS)})")
    return decode_image(sample[key], f"{sample['__url__']}: {sample['__key__']}.{key}")


def _label(sample: dict[str, Any]) -> int:
    return int(sample[LABEL_KEY])


@dataclass(frozen=True)
class ShardLoader:
    """Batches of images in shards. A micro-batch is a function of (seed, epoch, step, number)."""

    train: list[Shard]
    test: list[str]
    data: DataConfig
    recipe: RecipeConfig
    seed: int
    layout: BatchLayout
    device: torch.device
    num_workers: int

    @property
    def num_images(self) -> int:
        return sum(shard.num_images for shard in self.train)

    def _data_loader(self, dataset: IterableDataset, batch_size: int | None) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=batch_size,
            num_workers=self.num_workers,
            worker_init_fn=ignore_signals,
            pin_memory=self.device.type == "cuda",
        )

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """This rank's micro-batches of an epoch, from optimizer step `first_step` on.

        Every epoch has a new order; the images that do not fill its last batch are dropped.
        """
        for number, batch in self.load_train_batches(epoch, first_step):
            yield self._augmentation.on_device(batch, epoch, number)

    def load_train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[int, Batch]]:
        """The part of train_batches that runs on the host: each micro-batch with its number in the epoch."""
        lanes = EpochLanes(self.train, self.seed, epoch, self.layout)
        numbers = lanes.numbers(first_step)
        batches = TrainBatches(lanes, numbers, self._transform, self._augmentation)
        yield from zip(numbers, load_batches(self._data_loader(batches, None)), strict=True)

    def eval_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's images of the evaluated split."""
        samples = EvalSamples(self.test, self._transform, self.layout.env)
        for batch in load_batches(self._data_loader(samples, self.layout.micro_batch_size)):
            images, labels = to_device(*batch, self.device)
            yield normalize(images, self.data), labels

    @property
    def _augmentation(self) -> BatchAugmentation:
        return BatchAugmentation(self.data, self.recipe, self.seed, self.device)

    @property
    def _transform(self) -> ImageTransform:
        return ImageTransform(self.data, self.recipe, self.seed)
