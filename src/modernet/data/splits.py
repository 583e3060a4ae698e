"""Which images are trained on, in which order, and which are evaluated."""

from typing import Any

import numpy as np
import torch

from modernet.config.schema import DataConfig
from modernet.data.file_lists import list_test_images
from modernet.data.fingerprint import HELD_OUT, inspect_data, num_held_out
from modernet.errors import UserError
from modernet.runtime.distributed import BatchLayout
from modernet.runtime.seeding import Purpose, derive_seed, permutation


def hold_out(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and indices to tune on, the same for the same labels (N,).

    Raises UserError where train is too small.
    """
    from sklearn.model_selection import train_test_split  # takes long to import, and few runs need it

    classes, counts = np.unique(labels, return_counts=True)
    if min(counts) < 2 or len(labels) * HELD_OUT < len(classes):
        raise UserError(
            f"data.split=train/val holds {HELD_OUT:.0%} of train out and needs an image of each class there; "
            f"{len(labels)} images are too few"
        )
    indices: Any = train_test_split(np.arange(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=0)
    return indices[0], indices[1]


def hold_out_blockwise(n: int) -> np.ndarray:
    """Which of the n images of a row are tuned on, (n,) booleans: one of every ten in a row, at a random place.

    So a row with one class after another has a tenth of each class held out.
    """
    block = round(1 / HELD_OUT)
    firsts = torch.arange(0, n, block)
    generator = torch.Generator().manual_seed(derive_seed(0, Purpose.HOLD_OUT))
    numbers = firsts + torch.randint(block, firsts.shape, generator=generator)
    is_held_out = np.zeros(n, bool)
    is_held_out[numbers.clamp(max=n - 1).numpy()] = True
    return is_held_out


def evaluated_split(data: DataConfig) -> str:
    """The name of what is evaluated: of a folder, and of the one beside it that is not read, or of a split."""
    if data.split == "train/val":
        return f"val ({HELD_OUT:.0%} of train)"
    if data.kind != "folder":
        return "val" if data.kind == "shards" else "test"
    folder = list_test_images(data).folder
    others = [name for name in ("val", "test") if name != folder.name and (folder.parent / name).is_dir()]
    return f"{folder.name}/" + (f" ({others[0]}/ is not read)" if others else "")


def describe_split(data: DataConfig, train_images: int) -> str:
    """What a run is trained and evaluated on, with the number of evaluated images where the files give it."""
    facts = inspect_data(data)
    count = facts.test_images
    if data.split == "train/val":
        count = num_held_out(facts.train_images) if facts.train_images else None
    images = "" if count is None else f"{count:,} images of "
    return f"trained on {train_images:,} images, evaluated on {images}{evaluated_split(data)}"


def training_order(n: int, copies: int, layout: BatchLayout, seed: int, epoch: int) -> torch.Tensor:
    """The numbers of an epoch's n images in their order, (n,) int64: a permutation of 0..n-1.

    With repeated augmentation, each image is followed by its further copies, and the epoch ends after n numbers. Copy c
    of image i is c * n + i. Within each batch, they are dealt out in turn to as many groups as there are copies, or
    micro-batches if these are more: Mixup and CutMix mix neighbours, and would mix most images with themselves.
    """
    order = permutation(n, seed, Purpose.ORDER, epoch)
    if copies == 1:
        return order
    order = (order[:, None] + n * torch.arange(copies)).flatten()[:n]
    dealt = (torch.arange(layout.batch_size) % max(copies, layout.micro_batches_per_step)).argsort(stable=True)
    full = n // layout.batch_size * layout.batch_size
    return torch.cat([order[:full].view(-1, layout.batch_size)[:, dealt].flatten(), order[full:]])
