"""Damaged images: named by path, and either the end of the run or skipped and counted (data.on_error=raise|skip).

A skipped training image is replaced, so that a batch keeps its size: in class folders by an image drawn for (seed,
epoch, image), in shards by the next image of its micro-batch. A skipped evaluated image has no prediction: it counts as
wrong in top-1 and top-5, and the loss is the mean over the others. The metrics `skipped_train` and `skipped_eval` of
each epoch count both.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from modernet.config.schema import DataConfig
from modernet.errors import DamagedImage, UserError
from modernet.runtime.logging import logger
from modernet.runtime.os_errors import explain_os_error
from modernet.runtime.text import printable

MOST_LOGGED = 100  # skipped images, in the log


class Loaded(NamedTuple):
    """A batch as a worker process hands it over.

    A mistake is a text here: as an exception, it would arrive as the text of its traceback.
    """

    images: Tensor  # (N, 3, H, W) uint8
    labels: Tensor  # (N,) int64
    skipped: tuple[str, ...] = ()  # a line for each skipped image
    mistake: str = ""  # ends the run


def load_or_explain(load: Callable[[], Loaded]) -> Loaded:
    """The batch, or an empty one with the mistake that its files contain, or the fault of the machine."""
    try:
        return load()
    except UserError as error:
        mistake = str(error)
    except OSError as error:
        if not (fault := explain_os_error(error)):
            raise
        mistake = str(fault)
    return Loaded(torch.empty(0), torch.empty(0), mistake=mistake)


def skip_or_raise(error: DamagedImage, data: DataConfig, skipped: list[str]) -> None:
    """Append a line to `skipped`. Raises UserError where data.on_error=raise."""
    if data.on_error == "raise":
        hint = "a larger data.max_pixels decodes it, " if "data.max_pixels" in str(error) else ""
        raise UserError(f"{error}; {hint}data.on_error=skip goes on without it, in training as another run") from error
    skipped.append(str(error))


def stack_samples(samples: Iterable[tuple[Tensor, int]], at_most: int, size: int) -> tuple[Tensor, Tensor]:
    """Images (size, size, 3) with labels -> (n, 3, size, size), contiguous, and (n,)."""
    batch = torch.empty(at_most, 3, size, size, dtype=torch.uint8)
    labels = []
    for row, (image, label) in zip(batch, samples, strict=False):
        row.copy_(image.permute(2, 0, 1))
        labels.append(label)
    return batch[: len(labels)], torch.tensor(labels, dtype=torch.int64)


@dataclass
class SkippedImages:
    """The skipped images of a loader, counted as their batches are used."""

    named: set[str] = field(default_factory=set)
    number: int = 0

    def add(self, lines: Iterable[str]) -> None:
        """Count them, and log each once up to MOST_LOGGED."""
        for line in lines:
            self.number += 1
            if line in self.named or len(self.named) > MOST_LOGGED:
                continue
            self.named.add(line)
            is_last = len(self.named) > MOST_LOGGED
            logger.warning("further skipped images are only counted" if is_last else f"skipped: {printable(line)}")

    def take(self) -> int:
        """The number of images since the last call."""
        number, self.number = self.number, 0
        return number
