"""A ModelSpec becomes a network: stem, four stages, head, and the initial weights."""

import torch
from torch import Tensor, nn

from modernet.blocks import ACTS, EXPANSION, NORMS, Block, has_bias
from modernet.spec import ModelSpec


def build_stem(spec: ModelSpec) -> nn.Sequential:
    """(N, 3, H, W) -> (N, width, H / stem_stride, W / stem_stride)."""
    stride, width = spec.stem_stride, spec.width
    separate = spec.downsample == "separate"
    if spec.stem == "patchify":
        layers: list[nn.Module] = [nn.Conv2d(3, width, stride, stride, bias=has_bias(spec, normed=separate))]
    else:
        # 7x7/2 and max-pool/2; on small images 3x3/1 and max-pool/2, on the smallest 3x3/1 alone.
        size = 7 if stride == 4 else 3
        conv = nn.Conv2d(3, width, size, 2 if stride == 4 else 1, size // 2, bias=has_bias(spec, normed=True))
        layers = [conv, NORMS[spec.norm](width), ACTS[spec.act]()]
        if stride > 1:
            layers.append(nn.MaxPool2d(3, 2, 1))
    if separate:
        layers.append(NORMS[spec.norm](width))
    return nn.Sequential(*layers)


def build_stages(spec: ModelSpec, stochastic_depth: float) -> tuple[nn.Sequential, int]:
    """The four stages, and the channels that leave the last. Each stage but the first halves the image."""
    blocks = sum(spec.depths)
    drops = iter([stochastic_depth * i / max(blocks - 1, 1) for i in range(blocks)])  # linear in depth
    stages, channels = nn.Sequential(), spec.width
    for i, depth in enumerate(spec.depths):
        narrow = spec.width * 2**i
        out = narrow if spec.inverted else EXPANSION * narrow
        stride = 2 if i > 0 else 1
        stage = nn.Sequential()
        if stride > 1 and spec.downsample == "separate":
            downsample = nn.Sequential(NORMS[spec.norm](channels), nn.Conv2d(channels, out, stride, stride))
            stage.add_module("downsample", downsample)
            channels, stride = out, 1
        for j in range(depth):
            stage.add_module(str(j), Block(spec, channels, narrow, stride if j == 0 else 1, next(drops)))
            channels = out
        stages.append(stage)
    return stages, channels


class Network(nn.Module):
    """(N, 3, H, W) images -> (N, classes) logits."""

    def __init__(self, spec: ModelSpec, classes: int, stochastic_depth: float) -> None:
        super().__init__()
        self.spec = spec
        self.stem = build_stem(spec)
        self.stages, channels = build_stages(spec, stochastic_depth)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.norm = NORMS[spec.norm](channels) if spec.downsample == "separate" else nn.Identity()
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.stem(x))
        x = self.norm(self.pool(x)).flatten(1)  # (N, C, H, W) -> (N, C)
        return self.classifier(x)


def build(spec: ModelSpec, classes: int = 1000, stochastic_depth: float = 0.0) -> Network:
    """The network of a spec, with torch's own initial weights; `stochastic_depth` is the last block's drop rate."""
    return Network(spec, classes, stochastic_depth)


def smallest_image(spec: ModelSpec) -> int:
    """The side in pixels under which nothing is left to halve. Strided convolutions pad, 2x2 convolutions do not."""
    return spec.stem_stride * (8 if spec.downsample == "separate" else 1)


def _trunc_normal(weight: Tensor, std: float) -> Tensor:
    return nn.init.trunc_normal_(weight, std=std)


def _fan_in(weight: Tensor, std: float) -> Tensor:
    return nn.init.trunc_normal_(weight, std=weight[0].numel() ** -0.5)


def _he_fan_out(weight: Tensor, std: float) -> Tensor:
    if weight.ndim == 2:  # torchvision's ResNet leaves the classifier as torch made it
        return weight
    return nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


INITS = {"he_fan_out": _he_fan_out, "trunc_normal": _trunc_normal, "fan_in": _fan_in}


@torch.no_grad()
def initialize(model: nn.Module, init: str, std: float) -> None:
    """Draw the weights of every convolution and linear layer anew and set their biases to 0, by the recipe's `init`."""
    if init == "torch":
        return
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            INITS[init](module.weight, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
