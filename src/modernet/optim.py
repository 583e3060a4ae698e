"""The recipe's optimizer: parameter groups, and the learning rate as a function of the step."""

from collections.abc import Callable
from math import cos, pi
from typing import Any

from torch import nn, optim

from modernet.spec import Recipe


def parameter_groups(model: nn.Module, weight_decay: float, decay_1d: bool) -> list[dict[str, Any]]:
    """Two groups: what is decayed, and what is not. Without `decay_1d`, biases, norms and Layer Scale are not."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": weight_decay if decay_1d else 0.0},
    ]


OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], Recipe, bool], optim.Optimizer]] = {
    "sgd": lambda groups, recipe, fused: optim.SGD(groups, recipe.peak_lr, momentum=recipe.betas[0], fused=fused),
    "adamw": lambda groups, recipe, fused: optim.AdamW(groups, recipe.peak_lr, recipe.betas, fused=fused),
}
FUSED = ("cpu", "cuda")  # devices for which torch has its optimizers in one kernel

# What is left of the peak after a part `t` of the steps behind warm-up, 0 <= t < 1.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda t: (1 + cos(pi * t)) / 2,
    "step": lambda t: 0.1 ** int(3 * t),  # every 30 of 90 epochs (He et al. 2015)
}


def make_optimizer(model: nn.Module, recipe: Recipe) -> optim.Optimizer:
    groups = parameter_groups(model, recipe.weight_decay, recipe.decay_1d)
    return OPTIMIZERS[recipe.optimizer](groups, recipe, next(model.parameters()).device.type in FUSED)


def lr_at(step: int, total: int, warmup: int, peak: float, floor: float = 0.0, schedule: str = "cosine") -> float:
    """The learning rate of optimizer step `step` of `total`: linear up over `warmup` steps, then down to `floor`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return floor + (peak - floor) * SCHEDULES[schedule]((step - warmup) / (total - warmup))
