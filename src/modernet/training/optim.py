"""The recipe's optimizer: parameter groups, and the learning rate as a function of the step."""

from collections.abc import Callable
from math import cos, pi
from typing import Any

from torch import nn, optim

from modernet.config.schema import RecipeConfig

ParameterGroups = list[dict[str, Any]]


def parameter_groups(model: nn.Module, weight_decay: float, decay_norm_and_bias: bool) -> ParameterGroups:
    """Two groups, with and without weight decay. One-dimensional parameters: biases, norms and Layer Scale."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    norms_and_biases = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [
        {"params": weights, "weight_decay": weight_decay},
        {"params": norms_and_biases, "weight_decay": weight_decay if decay_norm_and_bias else 0.0},
    ]


def _build_lamb(groups: ParameterGroups, recipe: RecipeConfig, fused: bool) -> optim.Optimizer:
    """LAMB (You et al. 2020) with timm's defaults, as in "ResNet strikes back"."""
    from timm.optim.lamb import Lamb  # an optional dependency, of the recipes a2 and a3; check_recipe looks for it

    return Lamb(groups, recipe.peak_lr, betas=recipe.betas)


# A new optimizer: an entry here, its name in RecipeConfig.optimizer, and fields of its own if it has any.
OPTIMIZERS: dict[str, Callable[[ParameterGroups, RecipeConfig, bool], optim.Optimizer]] = {
    "sgd": lambda groups, recipe, fused: optim.SGD(groups, recipe.peak_lr, recipe.momentum, fused=fused),
    "adamw": lambda groups, recipe, fused: optim.AdamW(groups, recipe.peak_lr, recipe.betas, fused=fused),
    "lamb": _build_lamb,
}
FUSED_DEVICES = ("cpu", "cuda")  # where we use torch's optimizers of one kernel

# Fraction of the peak at `progress` through the steps after warm-up, 0 <= progress < 1.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda progress: (1 + cos(pi * progress)) / 2,
    "step": lambda progress: 0.1 ** int(3 * progress),  # every 30 of 90 epochs (He et al. 2015)
}


def build_optimizer(model: nn.Module, recipe: RecipeConfig) -> optim.Optimizer:
    """The recipe's optimizer over the model's parameters, fused where torch can."""
    groups = parameter_groups(model, recipe.weight_decay, recipe.decay_norm_and_bias)
    fused = next(model.parameters()).device.type in FUSED_DEVICES
    return OPTIMIZERS[recipe.optimizer](groups, recipe, fused)


def lr_at(
    step: int, total_steps: int, warmup_steps: int, peak: float, min_lr: float = 0.0, schedule: str = "cosine"
) -> float:
    """The learning rate of a step: linear warm-up to `peak`, then `schedule` down to `min_lr`."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return min_lr + (peak - min_lr) * SCHEDULES[schedule]((step - warmup_steps) / (total_steps - warmup_steps))
