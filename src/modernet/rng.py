"""Randomness as a function of a key: (seed, purpose, epoch or step). Nothing depends on what was drawn before."""

from enum import IntEnum

import torch
from numpy.random import SeedSequence


class Purpose(IntEnum):
    """What a draw is for, so that two purposes never share a stream."""

    INIT = 0
    ORDER = 1
    AUGMENT = 2
    NETWORK = 3  # stochastic depth


def derive(seed: int, purpose: Purpose, index: int = 0) -> int:
    """A 64-bit seed for this key."""
    return int(SeedSequence((seed, purpose, index)).generate_state(1, "uint64")[0])


def generator(device: torch.device, seed: int, purpose: Purpose, index: int = 0) -> torch.Generator:
    """A fresh generator for this key, on `device`."""
    return torch.Generator(device).manual_seed(derive(seed, purpose, index))
