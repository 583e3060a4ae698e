"""A trained network on a data set: predictions of each image, accuracies per class, confusion matrix."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from modernet.errors import UserError


@dataclass(frozen=True)
class Evaluation:
    """Predictions of all images of a split, in the order of the loader."""

    logits: Tensor  # (N, classes), float32
    labels: Tensor  # (N,)
    skipped: int = 0  # damaged images without a prediction

    @property
    def loss(self) -> float:
        """Mean cross-entropy without label smoothing."""
        return F.cross_entropy(self.logits, self.labels).item()

    @cached_property
    def best(self) -> Tensor:
        """(N, 5) the classes of the largest logits, largest first; fewer where there are fewer classes."""
        return self.logits.topk(min(5, self.logits.shape[1])).indices

    def accuracy(self, k: int) -> float:
        """Percent of the images whose label is among the first k, 1 to 5, of `best`; skipped ones count as wrong."""
        hits = (self.best[:, :k] == self.labels[:, None]).any(1).double()
        return 100 * hits.mean().item() * (len(hits) / (len(hits) + self.skipped))

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """(classes, classes): images of each label in the rows, of each prediction in the columns."""
        classes = self.logits.shape[1]
        pairs = self.labels * classes + self.best[:, 0]
        return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).numpy()

    @property
    def balanced_accuracy(self) -> float:
        """The mean top-1 of the classes, in percent: each counts the same, whatever its number of images."""
        images = self.confusion.sum(1)
        return float(100 * (self.confusion.diagonal()[images > 0] / images[images > 0]).mean())

    @property
    def largest_class(self) -> float:
        """Percent of the images with the most frequent label: the top-1 of one answer for all images."""
        return float(100 * self.confusion.sum(1).max() / len(self.labels))

    @property
    def has_equal_classes(self) -> bool:
        """Whether each class with images has the same number of them; balanced accuracy is top-1 then."""
        images = self.confusion.sum(1)
        return len(np.unique(images[images > 0])) == 1

    def per_class(self) -> list[tuple[int, float, float]]:
        """Of each class: images, percent of them predicted as it (top-1), percent of such predictions that are right.

        NaN where there is no image, or no prediction.
        """
        right, images, predictions = self.confusion.diagonal(), self.confusion.sum(1), self.confusion.sum(0)
        with np.errstate(invalid="ignore"):
            recall, precision = 100 * right / images, 100 * right / predictions
        return list(zip(images.tolist(), recall.tolist(), precision.tolist(), strict=True))


@torch.inference_mode()
def predict(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    take_skipped: Callable[[], int],
    autocast: Callable[[], AbstractContextManager[Any]],
) -> Evaluation:
    """The predictions of a network for batches of images (N, 3, H, W) and labels (N,) on its device.

    `take_skipped` returns the number of damaged images that they lack, `autocast` the context of the forward pass.
    Raises UserError where every image is damaged.
    """
    model.eval()
    logits, labels = [], []
    for images, targets in batches:
        with autocast():
            output = model(images)
        logits.append(output.float().cpu())
        labels.append(targets.cpu())
    if not labels:
        raise UserError("all evaluated images are damaged; data.on_error=raise names the first")
    return Evaluation(torch.cat(logits), torch.cat(labels), take_skipped())
