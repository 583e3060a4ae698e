"""Values that augmentation needs on the device of the images, brought there without a wait for the device."""

from functools import cache

import torch
from torch import Tensor


def to_device_of(images: Tensor, values: Tensor) -> Tensor:
    """Copy small values (drawn on the CPU) to the device of the images, asynchronously."""
    return values.to(images.device, non_blocking=True)


@cache
def channel_values(values: tuple[float, ...], device: torch.device) -> Tensor:
    """255 * `values`, one per channel, as (C, 1, 1) float32; cached, so that no step copies them."""
    return (255 * torch.tensor(values))[:, None, None].to(device, non_blocking=True)
