"""Randomness as a function of a key: (seed, purpose, epoch, step, ...). Nothing depends on what was drawn before."""

from enum import IntEnum

import torch
from numpy.random import SeedSequence


class Purpose(IntEnum):
    """What a draw is for, so that two purposes never share a stream."""

    INIT = 0
    ORDER = 1
    AUGMENT = 2
    NETWORK = 3  # stochastic depth
    SAMPLE = 4  # the cut of one image from a file
    FAKE = 5


def derive(seed: int, purpose: Purpose, *index: int) -> int:
    """A 64-bit seed for this key."""
    return int(SeedSequence((seed, purpose, *index)).generate_state(1, "uint64")[0])


def seed_all(seed: int, purpose: Purpose, *index: int) -> None:
    """Put the global generators, which torch and torchvision draw from, where this key says."""
    torch.manual_seed(derive(seed, purpose, *index))


def permutation(n: int, seed: int, purpose: Purpose, *index: int) -> torch.Tensor:
    """0..n-1 in the order of this key, (n,) int64; the same on every device."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(derive(seed, purpose, *index)))
