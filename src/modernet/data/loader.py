"""The batches that a run is trained and evaluated on, wherever the images are stored."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data import in_memory
from modernet.data.augment import Labels
from modernet.data.damaged import SkippedImages
from modernet.data.file_batches import Stopwatch
from modernet.data.file_lists import ImageSplit
from modernet.data.fingerprint import inspect_data
from modernet.runtime.device import available_cpus
from modernet.runtime.distributed import BatchLayout, is_torchrun

MAX_AUTO_WORKERS = 8


class Loader(Protocol):
    """Batches on the device: (N, 3, H, W) float32 normalized images, and their labels."""

    @property
    def num_workers(self) -> int:
        """Processes that load files; 0 for images in memory."""
        ...

    @property
    def num_images(self) -> int:
        """Number of training images."""
        ...

    @property
    def fetching(self) -> Stopwatch:
        """The time in which the batches since its last `take` were waited for, without work on them."""
        ...

    @property
    def skipped(self) -> SkippedImages:
        """Damaged images that the batches since its last `take` lack."""
        ...

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """This rank's micro-batches of an epoch, from optimizer step `first_step` on."""
        ...

    def eval_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's images of the evaluated split; over all ranks, every image once."""
        ...


def auto_num_workers(local_world_size: int, environ: Mapping[str, str] = os.environ) -> int:
    """Data loading processes of one rank for num_workers=auto: its fraction of the CPUs, 1 to 8.

    srun gives each task CPUs of its own, `cpus_per_task`; torchrun's processes have those of the machine in common.
    """
    cpus = available_cpus()
    if "SLURM_CPUS_PER_TASK" in environ and not is_torchrun(environ):
        cpus = min(cpus, int(environ["SLURM_CPUS_PER_TASK"]))
    else:
        cpus //= local_world_size
    return max(1, min(MAX_AUTO_WORKERS, cpus))


def build_loader(
    data: DataConfig,
    recipe: RecipeConfig,
    seed: int,
    layout: BatchLayout,
    device: torch.device,
    num_workers: int | Literal["auto"],
    images: ImageSplit | None = None,
) -> Loader:
    """The loader for this kind of data set, or for `images` in its place. Raises UserError for wrong files."""
    if images is None:
        data = replace(data, num_classes=inspect_data(data).num_classes)
    if images is None and data.kind in in_memory.SOURCES:
        train, test = (part.to(device) for part in in_memory.load_images(data))
        return in_memory.InMemoryLoader(train, test, data, recipe, seed, layout)
    auto_workers = auto_num_workers(layout.env.local_world_size)
    if images or data.kind == "folder":
        from modernet.data import image_folder  # data sets in memory need no decoders

        workers = auto_workers if num_workers == "auto" else num_workers
        splits = (images, images) if images else image_folder.load_splits(data)
        return image_folder.ImageFolderLoader(*splits, data, recipe, seed, layout, device, workers)
    from modernet.data import shard_lanes, shards

    workers = shard_lanes.auto_num_workers(layout, auto_workers) if num_workers == "auto" else num_workers
    splits = shards.load_shards(data)
    return shards.ShardLoader(*splits, data, recipe, seed, layout, device, workers)
