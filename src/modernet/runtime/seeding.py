"""Randomness as a function of a key: (seed, purpose, epoch, step, ...). Nothing depends on earlier draws."""

from enum import IntEnum
from functools import cache

import torch
from numpy.random import SeedSequence


class Purpose(IntEnum):
    """What a draw is for; two purposes never share a stream."""

    INIT = 0
    ORDER = 1
    AUGMENT = 2
    NETWORK = 3  # stochastic depth
    SAMPLE = 4  # the crop of one image file
    FAKE = 5
    REPLACE = 6  # the image that replaces a damaged one
    HOLD_OUT = 7  # images in shards


def derive_seed(seed: int, purpose: Purpose, *index: int) -> int:
    """A 64-bit seed for this key."""
    return int(SeedSequence((seed, purpose, *index)).generate_state(1, "uint64")[0])


def seed_everything(seed: int, purpose: Purpose, *index: int) -> None:
    """Seed torch's global generators, which torchvision draws from too, for this key."""
    value = derive_seed(seed, purpose, *index)
    if _has_accelerator():
        torch.manual_seed(value)
    else:  # torch.manual_seed prepares the seeds of devices that are not there, which takes ten times as long
        torch.default_generator.manual_seed(value)


@cache
def _has_accelerator() -> bool:
    return torch.accelerator.is_available()


def permutation(n: int, seed: int, purpose: Purpose, *index: int) -> torch.Tensor:
    """0..n-1 in the order of this key, (n,) int64; the same on every device."""
    generator = torch.Generator().manual_seed(derive_seed(seed, purpose, *index))
    return torch.randperm(n, generator=generator)
