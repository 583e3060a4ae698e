"""Networks for inference: the parallel convolutions of `model.small_kernel` folded into one (Ding et al. 2022)."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.fusion import fuse_conv_bn_weights

from modernet.models.network import Network, build_model
from modernet.models.spatial import ParallelConv


def _fold(conv: ParallelConv) -> tuple[Tensor, Tensor]:
    """Weight (out, in / groups, k, k) and bias (out,) of the one convolution that gives the sum of both branches."""
    weights, biases = [], []
    for branch in (conv.large, conv.small):
        kernel, norm = branch
        assert isinstance(kernel, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        weight, bias = fuse_conv_bn_weights(
            kernel.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        weights.append(weight)
        biases.append(bias)
    large, small = weights
    margin = (large.shape[-1] - small.shape[-1]) // 2
    return large + pad(small, [margin] * 4), biases[0] + biases[1]


@torch.no_grad()
def fold_small_kernels(model: Network) -> Network:
    """The same function in evaluation mode with one convolution per block, as a new network with `small_kernel=0`.

    Its weights are a copy. A network without parallel convolutions is copied as it is.
    """
    device = next(model.parameters()).device
    folded = build_model(replace(model.config, small_kernel=0), model.classifier.out_features).to(device).eval()
    weights = model.state_dict()
    for name, module in model.named_modules():
        if not isinstance(module, ParallelConv):
            continue
        weight, bias = _fold(module)
        weights = {key: value for key, value in weights.items() if not key.startswith(f"{name}.")}
        weights[f"{name}.weight"] = weight
        if f"{name}.bias" in folded.state_dict():
            weights[f"{name}.bias"] = bias
        else:  # the BatchNorm behind it subtracts a mean, which is then smaller by the bias
            mean = f"{name.replace('conv', 'norm')}.running_mean"
            weights[mean] = weights[mean] - bias
    folded.load_state_dict(weights)
    folded.class_names = model.class_names
    return folded
