"""Parameters, GMACs and activations of a network, counted without computing it or allocating its weights."""

import warnings
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import Any

import torch

from modernet.config.roadmap import roadmap
from modernet.config.schema import ModelConfig
from modernet.models.network import build_model

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # fvcore 0.1.5 still imports torch.jit.script
    from fvcore.nn.jit_analysis import JitModelAnalysis
    from fvcore.nn.jit_handles import conv_flop_count, get_shape


@dataclass(frozen=True)
class ModelCost:
    """Cost of one image. GMACs count convolutions and linear layers, the convention of the paper's tables."""

    params: int
    gmacs: float  # 1e9 multiply-accumulates of a forward pass
    activations: int  # outputs of convolutions and the classifier (Radosavovic et al. 2020)


def _shape(value: Any) -> list[int]:
    shape = get_shape(value)
    assert shape is not None, "every tensor of these networks has a fixed shape"
    return shape


# fvcore's own counts are per batch; ours are per image, so that the traced batch can be empty.
def _convolution(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    x, weight, y = (_shape(value) for value in (*inputs[:2], outputs[0]))
    macs: Any = conv_flop_count([1, *x[1:]], weight, [1, *y[1:]])
    return Counter(macs=macs, activations=prod(y[1:]))


def _linear(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    y = _shape(outputs[0])  # (N, out) of the classifier, (N, H, W, out) of a pointwise convolution
    return Counter(macs=prod(y[1:-1]) * prod(_shape(inputs[1])), activations=prod(y[1:]))


@cache  # the runs of a plan differ in their seed
def model_cost(config: ModelConfig, image_size: int = 224, num_classes: int = 1000) -> ModelCost:
    """Cost of a network on square images of `image_size` pixels.

    fvcore traces it on an empty batch, which has all shapes and nothing to compute. The weights are allocated but never
    written, so they take no memory.
    """
    with torch.device("meta"):
        model = build_model(config, num_classes).eval()
    model = model.to_empty(device="cpu")
    images = torch.empty(0, 3, image_size, image_size)
    analysis = JitModelAnalysis(model, images)
    analysis.set_op_handle("aten::_convolution", _convolution, "aten::linear", _linear)
    with torch.no_grad():  # with gradients, depthwise convolutions of small images are other operators
        total = analysis.unsupported_ops_warnings(False).tracer_warnings("none").by_operator()
    params = sum(parameter.numel() for parameter in model.parameters())
    return ModelCost(params, total["macs"] / 1e9, int(total["activations"]))


# The kernel sweep branches off at move_up_depthwise; each size stands where the paper prints it.
SIDE_ROWS = {"move_up_depthwise": (5,), "kernel_size": (9, 11)}


def table_networks(size: str) -> dict[str, ModelConfig]:
    """Every network of the costs table, in order: the roadmap, side steps, and the side rows of the kernel sweep."""
    steps = roadmap(size)
    result = {}
    for name, config in steps.items():
        result[name] = config
        for kernel in SIDE_ROWS.get(name, ()):
            result[f"move_up_depthwise+kernel_size={kernel}"] = replace(steps["move_up_depthwise"], kernel_size=kernel)
    return result
