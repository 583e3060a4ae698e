"""Metrics of an epoch, summed on the device so that no step waits for them."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from modernet.errors import UserError
from modernet.runtime.collectives import all_reduce_sum
from modernet.runtime.device import sum_dtype
from modernet.runtime.distributed import DistributedEnv


@dataclass(frozen=True)
class EvalMetrics:
    """Metrics over all images of a split."""

    loss: float  # mean cross-entropy
    top1: float  # percent
    top5: float  # percent
    skipped: int = 0  # damaged images


class MetricSums:
    """Sums of loss and hits over batches; they stay on the device until they are read.

    The sums since a mark are those over the steps of one row of `steps.jsonl`.
    """

    def __init__(self, device: torch.device, env: DistributedEnv) -> None:
        self.env = env
        # images, loss, top-1 hits, top-5 hits, skipped images
        self.sums = torch.zeros(5, device=device, dtype=sum_dtype(device))
        self.marked = torch.zeros_like(self.sums)

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss, logits (N, num_classes), labels (N,) or, of mixed images, (N, num_classes)."""
        if labels.ndim > 1:
            labels = labels.argmax(1)  # the larger part of the mixture
        hits = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]  # (N, 5)
        images = torch.full((), float(len(labels)), device=labels.device)
        self.sums[:4] += torch.stack([images, loss * images, hits[:, 0].sum(), hits.sum()])

    def skip(self, number: int) -> None:
        """Count damaged images that no batch has."""
        if number:
            self.sums[4] += number

    def since_mark(self) -> Tensor:
        """The sums since the mark, which moves here."""
        sums = self.sums - self.marked
        self.marked = self.sums.clone()
        return sums

    def gather(self) -> None:
        """Move the sums of all ranks to rank 0, which saves them; the other ranks keep zeros."""
        sums, marked = all_reduce_sum(self.sums), all_reduce_sum(self.marked)
        self.sums = sums if self.env.is_main_process else torch.zeros_like(sums)
        self.marked = marked if self.env.is_main_process else torch.zeros_like(marked)

    def compute(self, skipped_are_wrong: bool = False) -> EvalMetrics:
        """The metrics over all ranks, on every rank. Wrong images have no loss. Raises UserError without an image."""
        images, loss, top1, top5, skipped = all_reduce_sum(self.sums).tolist()
        if not images:
            raise UserError(f"all {skipped:.0f} evaluated images are damaged; data.on_error=raise names the first")
        all_images = images + skipped if skipped_are_wrong else images
        return EvalMetrics(loss / images, 100 * top1 / all_images, 100 * top5 / all_images, int(skipped))

    def state_dict(self) -> list[float]:
        return [*self.sums.tolist(), *self.marked.tolist()]

    def load_state_dict(self, saved: list[float]) -> None:
        """Continue from saved sums; rank 0 holds them for all ranks."""
        if self.env.is_main_process:
            sums, marked = torch.tensor(saved, dtype=self.sums.dtype).view(2, -1)
            self.sums.copy_(sums)
            self.marked.copy_(marked)


def measure_resources(device: torch.device, train_seconds: float, data_seconds: float) -> dict[str, float]:
    """The metrics `data_wait`, in percent of the epoch's time, and on GPUs `peak_memory`, in MiB of the run."""
    metrics = {"data_wait": 100 * data_seconds / train_seconds}
    if device.type == "cuda":
        metrics["peak_memory"] = torch.cuda.max_memory_allocated(device) / 2**20
    return metrics


def count_skipped(train: EvalMetrics, evaluated: EvalMetrics) -> dict[str, float]:
    """The metrics `skipped_train` and `skipped_eval`, those that are not 0."""
    counts = {"skipped_train": train.skipped, "skipped_eval": evaluated.skipped}
    return {name: float(count) for name, count in counts.items() if count}


class HostCopy:
    """Numbers on their way from the device to the host; the device does not wait."""

    def __init__(self, values: Tensor) -> None:
        self.arrival: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self.values = values.to("cpu", non_blocking=True)  # into pinned memory
            self.arrival = torch.cuda.Event()
            self.arrival.record(torch.cuda.current_stream(values.device))
        else:
            self.values = values.cpu().clone()

    def has_arrived(self) -> bool:
        return self.arrival is None or self.arrival.query()

    def read(self) -> list[float]:
        """The numbers; waits for them where they have not arrived."""
        if self.arrival is not None:
            self.arrival.synchronize()
        return self.values.tolist()


@dataclass(frozen=True)
class LossReading:
    """The sums of the epoch so far, after a step."""

    step: int
    lr: float
    sums: HostCopy


class LossMonitor:
    """Reads loss and accuracy of the running epoch as they arrive on the host; the device never waits.

    `also_read` is called with every `read`, to read what else is on its way.
    """

    def __init__(self, also_read: Callable[[bool], None] = lambda wait: None) -> None:
        self.readings: deque[LossReading] = deque()
        self.also_read = also_read
        self.first_nonfinite: LossReading | None = None
        self.loss = self.top1 = float("nan")  # of this rank's images in the epoch so far

    def record(self, step: int, lr: float, sums: Tensor) -> None:
        """Start the copy of the sums after `step`, and read what has arrived."""
        self.readings.append(LossReading(step, lr, HostCopy(sums)))
        self.read()

    def read(self, wait: bool = False) -> None:
        """Read what has arrived; with `wait`, everything."""
        while self.readings and (wait or self.readings[0].sums.has_arrived()):
            reading = self.readings.popleft()
            images, loss, hits, *_ = reading.sums.read()
            self.loss, self.top1 = loss / images, 100 * hits / images
            if self.first_nonfinite is None and not isfinite(loss):
                self.first_nonfinite = reading
        self.also_read(wait)
