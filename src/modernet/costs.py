"""Parameters, GMACs and activations of a spec, without computing it or holding its weights."""

import warnings
from collections import Counter
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch

from modernet.model import build
from modernet.spec import ModelSpec
from modernet.steps import roadmap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # fvcore 0.1.5 still imports torch.jit.script
    from fvcore.nn.jit_analysis import JitModelAnalysis
    from fvcore.nn.jit_handles import conv_flop_count, get_shape


@dataclass(frozen=True)
class Cost:
    """What one image costs. GMACs are those of convolutions and linear layers, the convention of the paper's tables."""

    params: int
    gmacs: float  # 1e9 multiply-accumulates of a forward pass
    activations: int  # numbers that convolutions and the classifier give out (Radosavovic et al. 2020)


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


def cost(spec: ModelSpec, image_size: int = 224, classes: int = 1000) -> Cost:
    """Count `spec` on square images of `image_size` pixels.

    fvcore traces it on an empty batch, which has every shape and nothing to compute, over weights that stay untouched.
    """
    with torch.device("meta"):
        model = build(spec, classes).eval()
    model = model.to_empty(device="cpu")  # reserved, never written: takes no memory
    images = torch.empty(0, 3, image_size, image_size)
    count = JitModelAnalysis(model, images).set_op_handle("aten::_convolution", _convolution, "aten::linear", _linear)
    total = count.unsupported_ops_warnings(False).tracer_warnings("none").by_operator()
    params = sum(parameter.numel() for parameter in model.parameters())
    return Cost(params, total["macs"] / 1e9, int(total["activations"]))


# The kernel sweep leaves the roadmap at move_up_depthwise and is printed where its size belongs.
SIDE_ROWS = {"move_up_depthwise": (5,), "kernel_size": (9, 11)}


def networks(size: str) -> dict[str, ModelSpec]:
    """Every network in the paper's tables, in their order: the roadmap and the side rows of the kernel sweep."""
    steps = roadmap(size)
    result = {}
    for name, spec in steps.items():
        result[name] = spec
        for kernel in SIDE_ROWS.get(name, ()):
            result[f"move_up_depthwise+kernel_size={kernel}"] = replace(steps["move_up_depthwise"], kernel_size=kernel)
    return result
