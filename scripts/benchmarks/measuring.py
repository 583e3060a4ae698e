"""Contestants take turns in rounds, so that a change of the machine's speed reaches all."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

from modernet.runtime.provenance import HostMemory

Contestant = Callable[[], float]  # does its work and returns a rate, per second


def synchronized_time(device: torch.device) -> float:
    """The time when all work on the device is done, in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def measure_in_turn(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Rates of every contestant in every round; the first round warms up and does not count.

    Each round starts with the next contestant: who follows whom and the state of caches and allocator change a rate.
    """
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    order = list(contestants)
    for number in range(rounds + 1):
        for name in order:
            rate = contestants[name]()
            if number:
                rates[name].append(rate)
        order = [*order[1:], order[0]] if number % 2 else order[::-1]
    return rates


def built_each_round(build: Callable[[], Contestant]) -> Contestant:
    """A contestant that is built and warmed up in every round.

    A network's place in memory changes its speed by several percent for as long as it lives, so rounds with the same
    one would all have the same error.
    """

    def contestant() -> float:
        built = build()
        built()
        return built()

    return contestant


@contextmanager
def in_own_process(build: Callable[..., Contestant], *arguments: Any) -> Iterator[Contestant]:
    """The contestant that `build(*arguments)` makes, in a separate process, with separate allocator and settings."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, build, arguments))
    process.start()
    theirs.close()

    def contestant() -> float:
        ours.send(True)
        return ours.recv()

    try:
        yield contestant
    finally:
        # Closing the connection is not enough: worker processes that were forked meanwhile hold it open.
        with suppress(OSError):
            ours.send(False)
        process.join()


def _serve(connection: Connection, build: Callable[..., Contestant], arguments: tuple[Any, ...]) -> None:
    """Answer each True with the contestant's rate, until the first False."""
    multiprocessing.set_start_method("fork", force=True)  # for loaders' workers; a spawned process would spawn too
    contestant = build(*arguments)
    with suppress(EOFError):
        while connection.recv():
            connection.send(contestant())


def autocast_on(device: torch.device) -> Callable[[], Any]:
    """bf16 on a GPU, float32 on a CPU."""
    return partial(torch.autocast, device.type, torch.bfloat16, enabled=device.type == "cuda")


def to_device(model: nn.Module, device: torch.device) -> Any:
    """The network on the device, channels last."""
    return model.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def random_batch(batch: int, size: int, device: torch.device, num_classes: int = 1000) -> tuple[Tensor, Tensor]:
    """Images (N, 3, size, size), channels last, and labels (N,)."""
    images = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    return images, torch.randint(num_classes, (batch,), device=device)


def train_step(model: nn.Module, optimizer: optim.Optimizer, batch: tuple[Tensor, Tensor], autocast: Callable) -> None:
    """Forward, backward and step."""
    images, labels = batch
    with autocast():
        logits = model(images)
    F.cross_entropy(logits.float(), labels).backward()
    optimizer.step()
    optimizer.zero_grad()


def train_contestant(
    model: nn.Module, optimizer: optim.Optimizer, batch: tuple[Tensor, Tensor], autocast: Callable, steps: int
) -> Contestant:
    """Trained images/s of a loop on one batch."""

    def contestant() -> float:
        model.train()
        started = synchronized_time(batch[0].device)
        for _ in range(steps):
            train_step(model, optimizer, batch, autocast)
        return steps * len(batch[0]) / (synchronized_time(batch[0].device) - started)

    return contestant


def inference_contestant(model: nn.Module, images: Tensor, steps: int) -> Contestant:
    """Evaluated images/s."""
    autocast = autocast_on(images.device)

    def contestant() -> float:
        model.eval()
        started = synchronized_time(images.device)
        with torch.inference_mode(), autocast():
            for _ in range(steps):
                model(images)
        return steps * len(images) / (synchronized_time(images.device) - started)

    return contestant


def step_memory(build: Callable[[], nn.Module], batch: int, size: int, device: torch.device) -> float | None:
    """MiB that a training step adds at its peak, for one image; None where the operating system does not measure it.

    On a CPU this is resident memory, measured in a new process whose allocator returns every large block at once.
    """
    threshold = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # bytes; glibc would raise it and keep freed blocks
    with (
        patch.dict(os.environ, threshold if device.type == "cpu" else {}),
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor,
    ):
        return executor.submit(_measure_step_memory, build, batch, size, device).result()


def _measure_step_memory(build: Callable[[], nn.Module], batch: int, size: int, device: torch.device) -> float | None:
    model, data, autocast = to_device(build(), device).train(), random_batch(batch, size, device), autocast_on(device)
    optimizer = optim.AdamW(model.parameters(), fused=True)
    train_step(model, optimizer, data, autocast)  # makes the optimizer's state
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        train_step(model, optimizer, data, autocast)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20 / batch
    memory = HostMemory()  # its peak starts at the current value
    before = memory.peak()
    train_step(model, optimizer, data, autocast)
    after = memory.peak()
    return None if before is None or after is None else (after - before) / batch
