"""What the processes that train together say to each other. A process by itself says nothing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from modernet.place import Place, meeting_point

TIMEOUT = timedelta(minutes=30)  # what one process may need more than another: a slow file system, or evaluation

_processors: Any = None  # the group that passes between processors alone


@contextmanager
def joined(place: Place, device: torch.device) -> Iterator[None]:
    """Connect this process to the others while the context lasts: by nccl on GPUs, else by gloo."""
    global _processors
    if place.world == 1:
        yield
        return
    os.environ.update(meeting_point())
    gpu = device.type == "cuda"
    distributed.init_process_group(
        "nccl" if gpu else "gloo",
        rank=place.rank,
        world_size=place.world,
        timeout=TIMEOUT,
        device_id=device if gpu else None,
    )
    _processors = distributed.new_group(backend="gloo", timeout=TIMEOUT)
    try:
        yield
    finally:
        _processors = None
        distributed.destroy_process_group()


def agree(place: Place, wish: int) -> int:
    """The largest of all processes' wishes, on each of them; no GPU is waited for."""
    if place.world == 1:
        return wish
    wishes = torch.tensor(wish)
    distributed.all_reduce(wishes, distributed.ReduceOp.MAX, group=_processors)
    return int(wishes)


def total(place: Place, values: Tensor) -> Tensor:
    """The sum over all processes, on each of them."""
    if place.world > 1:
        values = values.clone()
        distributed.all_reduce(values)
    return values


def share_buffers(place: Place, model: nn.Module) -> None:
    """Give every process the buffers of rank 0: the statistics of BatchNorm, which it alone saves."""
    if place.world > 1:
        for buffer in model.buffers():
            distributed.broadcast(buffer, 0)
