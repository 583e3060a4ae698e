"""What a run shows while it trains: a bar on a terminal, else a line now and then."""

import sys
import time
from collections import deque
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor
from tqdm import tqdm

from modernet.log import has_company, logger

LINE_SECONDS = 30.0  # between lines, where there is no terminal


def clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    return tqdm.format_interval(seconds)


@dataclass(frozen=True)
class Reading:
    """The sums of an epoch after a step, on their way from the device."""

    step: int
    lr: float
    sums: Tensor  # images, loss, top-1 hits, top-5 hits
    arrived: torch.cuda.Event | None


class Watch:
    """Reads the sums of every step as they arrive, without making the device wait."""

    def __init__(self) -> None:
        self.readings: deque[Reading] = deque()
        self.bad: Reading | None = None  # the first whose loss is not finite
        self.loss = self.top1 = float("nan")  # of the epoch so far

    def put(self, step: int, lr: float, sums: Tensor) -> None:
        arrived = None
        if sums.device.type == "cuda":
            host = sums.to("cpu", non_blocking=True)  # into pinned memory
            arrived = torch.cuda.Event()
            arrived.record()
        else:
            host = sums.cpu().clone()
        self.readings.append(Reading(step, lr, host, arrived))
        self.take()

    def take(self, wait: bool = False) -> None:
        """Read what has arrived, or with `wait` everything."""
        while self.readings and (wait or self.readings[0].arrived is None or self.readings[0].arrived.query()):
            reading = self.readings.popleft()
            if reading.arrived is not None:
                reading.arrived.synchronize()
            images, loss, hits, _ = reading.sums.tolist()
            self.loss, self.top1 = loss / images, 100 * hits / images
            if self.bad is None and not isfinite(loss):
                self.bad = reading


class Progress:
    """A bar over all images of a run, with the epoch's numbers; `steps` an epoch of `batch` images."""

    def __init__(self, epochs: int, steps: int, batch: int, done: int, shown: bool) -> None:
        self.epochs, self.steps, self.batch = epochs, steps, batch
        self.shown = shown
        self.began, self.first, self.lined = time.monotonic(), done, time.monotonic()
        total, terminal = epochs * steps * batch, sys.stderr.isatty() and not has_company()
        self.bar = tqdm(
            total=total,
            initial=done * batch,
            unit="img",
            unit_scale=True,
            dynamic_ncols=True,
            disable=not (shown and terminal),
        )

    def step(self, done: int, loss: float, top1: float) -> None:
        """After `done` optimizer steps of the run."""
        now = time.monotonic()
        line = self.shown and self.bar.disable and now - self.lined >= LINE_SECONDS
        redrawn = self.bar.update(self.batch)
        if not (line or redrawn):
            return
        pace = (now - self.began) / max(done - self.first, 1)  # seconds a step, evaluation included
        epoch = (done - 1) // self.steps
        left = pace * ((epoch + 1) * self.steps - done), pace * (self.epochs * self.steps - done)
        numbers = {"step": f"{done - epoch * self.steps}/{self.steps}", "loss": f"{loss:.3f}", "top1": f"{top1:.1f}%"}
        self.bar.set_description(f"epoch {epoch + 1}/{self.epochs}", refresh=False)
        # The bar itself has the run's.
        self.bar.set_postfix({**numbers, "epoch_left": clock(left[0])}, refresh=False)
        if line:
            self.lined = now
            text = ", ".join(f"{name} {value}" for name, value in numbers.items())
            speed = self.batch / pace
            logger.info(
                f"epoch {epoch + 1}/{self.epochs}: {text}, {speed:.0f} images/s, left: epoch {clock(left[0])}, "
                f"run {clock(left[1])}"
            )

    def close(self) -> None:
        self.bar.close()
