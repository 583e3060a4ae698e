"""The batches that a run is trained and scored on, wherever their images lie."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from modernet import arrays
from modernet.augment import Labels
from modernet.place import Share
from modernet.spec import DataSpec, Recipe


class Loader(Protocol):
    """Batches on the device: (N, 3, H, W) float32 normalised images, and their labels."""

    @property
    def images(self) -> int:
        """How many there are to train on."""
        ...

    def training(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Labels]]:
        """An epoch from optimizer step `start` on, a forward-backward pass of this process at a time."""
        ...

    def evaluation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's part of the other split, so that all processes together see every image once."""
        ...


def load(spec: DataSpec, recipe: Recipe, seed: int, share: Share, device: torch.device, workers: int) -> Loader:
    """Raises UserError where the data set's files are not as they should be."""
    if spec.kind in arrays.SETS:
        train, test = (images.to(device) for images in arrays.read(spec))
        return arrays.ArrayLoader(train, test, spec, recipe, seed, share)
    from modernet import files, shards  # only here: decoders and workers are of no use to the others

    if spec.kind == "folder":
        return files.FileLoader(*files.read_tree(spec), spec, recipe, seed, share, device, workers)
    return shards.ShardLoader(*shards.read_shards(spec), spec, recipe, seed, share, device, workers)
