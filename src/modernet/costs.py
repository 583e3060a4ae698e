"""Parameters, GMACs and activations of a spec, without computing it or holding its weights."""

import warnings
from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from modernet.model import build
from modernet.spec import ModelSpec

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # fvcore 0.1.5 still imports torch.jit.script
    from fvcore.nn.jit_analysis import JitModelAnalysis
    from fvcore.nn.jit_handles import conv_flop_count, get_shape


@dataclass(frozen=True)
class Cost:
    """What one image costs. GMACs are those of convolutions and linear layers, the convention of the paper's tables."""

    params: int
    gmacs: float  # 1e9 multiply-accumulates of a forward pass
    activations: int  # numbers that convolutions and the classifier give out (Radosavovic et al. 2020)


# fvcore's own counts are per batch; ours are per image, so that the traced batch can be empty.
def _convolution(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    x, weight, y = (get_shape(value) for value in (*inputs[:2], outputs[0]))
    return Counter(macs=conv_flop_count([1, *x[1:]], weight, [1, *y[1:]]), activations=prod(y[1:]))


def _linear(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    return Counter(macs=prod(get_shape(inputs[1])), activations=prod(get_shape(outputs[0])[1:]))


def cost(spec: ModelSpec, image_size: int = 224, classes: int = 1000) -> Cost:
    """Count `spec` on square images of `image_size` pixels.

    fvcore traces it on an empty batch, which has every shape and nothing to compute, over weights that are never touched.
    """
    with torch.device("meta"):
        model = build(spec, classes).eval()
    model = model.to_empty(device="cpu")  # reserved, never written: takes no memory
    images = torch.empty(0, 3, image_size, image_size)
    count = JitModelAnalysis(model, images).set_op_handle("aten::_convolution", _convolution, "aten::linear", _linear)
    total = count.unsupported_ops_warnings(False).tracer_warnings("none").by_operator()
    params = sum(parameter.numel() for parameter in model.parameters())
    return Cost(params, total["macs"] / 1e9, int(total["activations"]))
