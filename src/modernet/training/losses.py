"""The loss that a recipe trains with; evaluation reports cross-entropy for every recipe."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from modernet.config.schema import RecipeConfig
from modernet.data.augment import Labels

Loss = Callable[[Tensor, Labels, float], Tensor]


def _cross_entropy(logits: Tensor, labels: Labels, smoothing: float) -> Tensor:
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def _binary_cross_entropy(logits: Tensor, labels: Labels, smoothing: float) -> Tensor:
    """One sigmoid per class, the mean over images and classes, as timm's BinaryCrossEntropy.

    The targets of mixed images are their proportions, as in OpenMixup's and mmpretrain's recipes A2 and A3.
    """
    num_classes = logits.shape[1]
    targets = labels if labels.ndim == 2 else F.one_hot(labels, num_classes).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, targets * (1 - smoothing) + smoothing / num_classes)


LOSSES: dict[str, Loss] = {"cross_entropy": _cross_entropy, "binary_cross_entropy": _binary_cross_entropy}


def training_loss(logits: Tensor, labels: Labels, recipe: RecipeConfig) -> Tensor:
    """The mean loss of logits (N, num_classes), float32, for labels (N,) or mixed labels (N, num_classes)."""
    return LOSSES[recipe.loss](logits, labels, recipe.label_smoothing)
