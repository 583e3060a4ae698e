"""Initial weights; the recipe chooses the scheme, the same for every step of a protocol."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def _he_fan_out(weight: Tensor, std: float) -> Tensor:
    if weight.ndim == 2:  # torchvision's ResNet leaves the classifier as torch made it
        return weight
    return nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


INITS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "he_fan_out": _he_fan_out,  # He et al. 2015
    "torchvision": _he_fan_out,  # as its ResNet, whose classifier keeps torch's bias too
    "trunc_normal": lambda weight, std: nn.init.trunc_normal_(weight, std=std),  # the authors' code
    "fan_in": lambda weight, std: nn.init.trunc_normal_(weight, std=weight[0].numel() ** -0.5),
}


@torch.no_grad()
def init_weights(model: nn.Module, init: str, std: float) -> None:
    """Draw the weights of every convolution and linear layer by the scheme `init`, and set their biases to 0.

    `torch` keeps the weights and biases that torch made, `torchvision` those of the classifier. `std` is used by
    trunc_normal alone.
    """
    if init == "torch":
        return
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            INITS[init](module.weight, std)
            keeps_bias = init == "torchvision" and isinstance(module, nn.Linear)
            if module.bias is not None and not keeps_bias:
                nn.init.zeros_(module.bias)
