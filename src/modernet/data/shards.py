"""Batches from shards, tar files in the WebDataset format: read, decoded and cropped by worker processes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, dropwhile, islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data.augment import Labels, normalize
from modernet.data.damaged import Loaded, SkippedImages, load_or_explain, skip_or_raise, stack_samples
from modernet.data.decoding import decode_image
from modernet.data.file_batches import Batch, BatchAugmentation, Stopwatch, build_data_loader, load_batches, to_device
from modernet.data.shard_lanes import EpochLanes, Sample, Shard, num_lanes
from modernet.data.shard_lists import list_shards
from modernet.data.shard_sizes import count_images
from modernet.data.splits import hold_out_blockwise
from modernet.data.transforms import ImageTransform
from modernet.errors import DamagedImage, UserError
from modernet.runtime.distributed import BatchLayout, DistributedEnv

IMAGE_KEYS = ("jpg", "jpeg", "png", "webp")  # names of a sample's image in the tar file
LABEL_KEY = "cls"
LABEL = re.compile(rb"\s*\d{1,9}\s*")
Numbered = tuple[int, Sample]  # a sample with its number in its lane


def load_shards(data: DataConfig) -> tuple[list[Shard], list[Shard]]:
    """The images to train on and those to evaluate on; all processes of a run call this together.

    Raises UserError where there are no shards, or where they do not hold data.train_images and, where it is set,
    data.test_images.
    """
    train, val = list_shards(data)
    sizes = _checked_sizes("train", train, data.train_images)
    if data.split == "train/test":
        if data.test_images is not None:
            _checked_sizes("val", val, data.test_images)
        return [Shard(url, b"\1" * size) for url, size in zip(train, sizes, strict=True)], list(map(Shard, val))
    held_out = hold_out_blockwise(sum(sizes))
    ends = np.cumsum(sizes)
    parts = [held_out[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    kept = [Shard(url, (~part).tobytes()) for url, part in zip(train, parts, strict=True)]
    return kept, [Shard(url, part.tobytes()) for url, part in zip(train, parts, strict=True)]


def _checked_sizes(split: str, urls: list[str], expected: int | None) -> list[int]:
    sizes = count_images(urls)
    if sum(sizes) != expected:
        field = {"train": "train_images", "val": "test_images"}[split]
        raise UserError(
            f"data.{field}={expected}, but the {len(urls)} shards of {split} hold {sum(sizes)} images; an image and "
            "its label stand together and have one name up to the first dot"
        )
    return sizes


def _worker() -> tuple[int, int]:
    """Number of this worker process, and of all."""
    info = get_worker_info()
    return (info.id, info.num_workers) if info else (0, 1)


@dataclass(frozen=True)
class TrainBatches(IterableDataset[Loaded]):
    """These micro-batches, decoded and cropped; worker processes take them in turn, as DataLoader does.

    Each worker reads the lanes of its micro-batches: other lanes than the other workers where the number of workers
    divides that of the rank's lanes. Otherwise several workers read a lane, and each decodes its own micro-batches.
    """

    lanes: EpochLanes
    numbers: list[int]  # of the micro-batches
    transform: ImageTransform
    augmentation: BatchAugmentation

    def __iter__(self) -> Iterator[Loaded]:
        worker, num_workers = _worker()
        samples: dict[int, Iterator[Numbered]] = {}  # by lane
        for number in self.numbers[worker::num_workers]:
            lane = number % num_lanes(self.lanes.layout)
            if lane not in samples:
                samples[lane] = enumerate(self.lanes.samples(lane))
            yield load_or_explain(partial(self._load, number, lane, samples[lane]))

    def _load(self, number: int, lane: int, samples: Iterator[Numbered]) -> Loaded:
        """Micro-batch `number` from the samples of its lane, of which those of other workers' micro-batches go by."""
        size = self.lanes.layout.micro_batch_size
        first = number // num_lanes(self.lanes.layout) * size
        own = list(islice(dropwhile(lambda numbered: numbered[0] < first, samples), size))
        skipped: list[str] = []
        images, labels = stack_samples(self._crops(own, lane, skipped), size, self.transform.train_image_size)
        return Loaded(self.augmentation.on_host(images, self.lanes.epoch, number), labels, tuple(skipped))

    def _crops(self, own: list[Numbered], lane: int, skipped: list[str]) -> Iterator[tuple[Tensor, int]]:
        """The crop and the label of each sample; of a damaged one those of the next one that is intact."""
        for index, (position, sample) in enumerate(own):
            try:
                image = _decode(sample, self.transform.data)
            except DamagedImage as error:
                skip_or_raise(error, self.transform.data, skipped)
                sample, image = self._replacement(own[index + 1 :] + own[:index], error)
            crop = self.transform.random_crop(image, self.lanes.epoch, lane, position)
            yield crop, _label(sample, self.transform.data)

    def _replacement(self, others: list[Numbered], damage: DamagedImage) -> tuple[Sample, Tensor]:
        for _, sample in others:
            try:
                return sample, _decode(sample, self.transform.data)
            except DamagedImage:  # counted in its turn
                continue
        raise DamagedImage(f"all {len(others) + 1} images of a micro-batch are damaged: {damage}") from damage


@dataclass(frozen=True)
class EvalBatches(IterableDataset[Loaded]):
    """The images of this rank, each once, `size` in a batch; every worker process reads other shards."""

    shards: list[Shard]
    transform: ImageTransform
    env: DistributedEnv
    size: int

    def __iter__(self) -> Iterator[Loaded]:
        worker, num_workers = _worker()
        stream, num_streams = self.env.rank * num_workers + worker, self.env.world_size * num_workers
        samples = chain.from_iterable(shard.samples() for shard in self.shards[stream::num_streams])
        while True:
            loaded = load_or_explain(partial(self._load, samples))
            if not (len(loaded.labels) or loaded.skipped or loaded.mistake):
                return
            yield loaded

    def _load(self, samples: Iterator[Sample]) -> Loaded:
        batch = list(islice(samples, self.size))
        skipped: list[str] = []
        images, labels = stack_samples(self._crops(batch, skipped), len(batch), self.transform.data.image_size)
        return Loaded(images, labels, tuple(skipped))

    def _crops(self, batch: list[Sample], skipped: list[str]) -> Iterator[tuple[Tensor, int]]:
        for sample in batch:
            try:
                image = _decode(sample, self.transform.data)
            except DamagedImage as error:
                skip_or_raise(error, self.transform.data, skipped)
            else:
                yield self.transform.center_crop(image), _label(sample, self.transform.data)


def _decode(sample: Sample, data: DataConfig) -> Tensor:
    name = f"{sample['__url__']}: {sample['__key__']}"
    key = next((key for key in IMAGE_KEYS if key in sample), None)
    if key is None:
        raise DamagedImage(f"{name} has no image; its name must end in {', '.join(IMAGE_KEYS)}")
    return decode_image(sample[key], f"{name}.{key}", data.max_pixels)


def _label(sample: Sample, data: DataConfig) -> int:
    """The class of a sample. Raises UserError for anything but an integer from 0 to data.num_classes - 1."""
    assert data.num_classes is not None
    text = sample.get(LABEL_KEY)
    if text is None:
        raise UserError(f"{sample['__url__']}: {sample['__key__']} has no file .{LABEL_KEY} with its label")
    if not LABEL.fullmatch(text) or int(text) >= data.num_classes:
        raise UserError(
            f"{sample['__url__']}: {sample['__key__']}.{LABEL_KEY} must hold an integer from 0 to "
            f"{data.num_classes - 1} (data.num_classes={data.num_classes}), got {text[:40]!r}"
        )
    return int(text)


@dataclass(frozen=True)
class ShardLoader:
    """Batches of images in shards. A micro-batch is a function of (seed, epoch, step, number)."""

    train: list[Shard]
    test: list[Shard]
    data: DataConfig
    recipe: RecipeConfig
    seed: int
    layout: BatchLayout
    device: torch.device
    num_workers: int
    fetching: Stopwatch = field(default_factory=Stopwatch)
    skipped: SkippedImages = field(default_factory=SkippedImages)

    @property
    def num_images(self) -> int:
        return sum(shard.num_images for shard in self.train)

    def _data_loader(self, batches: IterableDataset) -> DataLoader:
        return build_data_loader(batches, self.num_workers, self.device)

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
        yield from zip(numbers, load_batches(self._data_loader(batches), self.skipped, self.fetching), strict=True)

    def eval_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's images of the evaluated split."""
        batches = EvalBatches(self.test, self._transform, self.layout.env, self.layout.micro_batch_size)
        for batch in load_batches(self._data_loader(batches), self.skipped, self.fetching):
            images, labels = to_device(*batch, self.device)
            yield normalize(images, self.data), labels

    @property
    def _augmentation(self) -> BatchAugmentation:
        return BatchAugmentation(self.data, self.recipe, self.seed, self.device)

    @property
    def _transform(self) -> ImageTransform:
        return ImageTransform(self.data, self.recipe, self.seed)
