"""The training loss of a recipe, against timm's."""

import pytest
import torch
from timm.loss.binary_cross_entropy import BinaryCrossEntropy
from timm.loss.cross_entropy import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch.nn.functional import one_hot

from modernet.config.schema import RecipeConfig
from modernet.training.losses import training_loss

LABELS = torch.tensor([0, 2, 1, 2])
MIXED = 0.3 * one_hot(LABELS, 5).float() + 0.7 * one_hot(LABELS.roll(1), 5).float()


def logits() -> torch.Tensor:
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("labels", [LABELS, MIXED], ids=["labels", "mixed"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_equals_timm(labels, smoothing):
    """timm does not smooth labels that are mixed; its Mixup does."""
    ours = training_loss(logits(), labels, RecipeConfig(loss="binary_cross_entropy", label_smoothing=smoothing))
    targets = labels if labels.ndim == 1 else labels * (1 - smoothing) + smoothing / 5
    theirs = BinaryCrossEntropy(smoothing=smoothing)(logits(), targets)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0, check_dtype=False)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_timm(smoothing):
    """The authors smooth mixed labels in timm's Mixup, and other labels in the loss."""
    recipe = RecipeConfig(label_smoothing=smoothing)
    mixed = SoftTargetCrossEntropy()(logits(), MIXED * (1 - smoothing) + smoothing / 5)
    torch.testing.assert_close(training_loss(logits(), MIXED, recipe), mixed, rtol=1e-6, atol=0)
    single = LabelSmoothingCrossEntropy(smoothing)(logits(), LABELS)
    torch.testing.assert_close(training_loss(logits(), LABELS, recipe), single, rtol=1e-6, atol=0)
