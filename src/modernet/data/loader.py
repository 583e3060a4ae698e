"""The batches a run is trained and evaluated on, wherever the images are stored."""

from collections.abc import Iterator
from typing import Literal, Protocol

import torch
from torch import Tensor

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data import in_memory
from modernet.data.augment import Labels
from modernet.runtime.distributed import BatchLayout


class Loader(Protocol):
    """Batches on the device: (N, 3, H, W) float32 normalized images, and their labels."""

    num_workers: int  # processes that load files; 0 for images in memory

    @property
    def num_images(self) -> int:
        """Number of training images."""
        ...

    def train_batches(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """This rank's micro-batches of an epoch, from optimizer step `first_step` on."""
        ...

    def eval_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's part of the evaluated split; all ranks together see every image once."""
        ...


def build_loader(
    data: DataConfig,
    recipe: RecipeConfig,
    seed: int,
    layout: BatchLayout,
    device: torch.device,
    num_workers: int | Literal["auto"],
) -> Loader:
    """Raises UserError where the data set's files are not as they should be."""
    if data.kind in in_memory.SETS:
        train, test = (images.to(device) for images in in_memory.read(data))
        return in_memory.InMemoryLoader(train, test, data, recipe, seed, layout)
    from modernet.data import image_folder, shards  # decoders and workers are of no use to the others

    workers = 4 if num_workers == "auto" else num_workers
    if data.kind == "folder":
        return image_folder.ImageFolderLoader(
            *image_folder.read_tree(data), data, recipe, seed, layout, device, workers
        )
    return shards.ShardLoader(*shards.read_shards(data), data, recipe, seed, layout, device, workers)
