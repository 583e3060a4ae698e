"""Exponential moving average of the weights, without a wait for the device."""

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


@torch.no_grad()
def update_ema(ema_model: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the weights and statistics of `ema_model` to decay * theirs + (1 - decay) * those of `model`.

    torch's AveragedModel counts its updates on the device and reads the count in each step, for which a GPU must finish
    its work. Here the caller knows the step: it passes a decay of 0 in the first.
    """
    averaged = [*ema_model.parameters(), *ema_model.buffers()]
    current = [*model.parameters(), *model.buffers()]
    pairs = list(zip(averaged, current, strict=True))
    if decay == 0:
        for average, value in pairs:
            average.copy_(value)
        return
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    get_ema_multi_avg_fn(decay)([average for average, _ in floats], [value for _, value in floats], None)
    for average, value in pairs:
        if not average.is_floating_point():  # the counters of BatchNorm
            average.copy_(value)
