"""The residual block of all steps and its layers: three convolutions with norms and activations, and a shortcut."""

from collections import OrderedDict
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, autocast, channels_last, full, fx, linalg, nn, zeros

from modernet.config.schema import EXPANSION, ModelConfig
from modernet.models.pointwise import Pointwise, build_pointwise
from modernet.models.spatial import build_spatial_conv


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of each pixel of (N, C, H, W); eps 1e-6 as in the authors' code."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, input: Tensor) -> Tensor:
        x = input.permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C); no copy in channels_last
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


@fx.wrap  # its branch depends on the memory layout, which is unknown while torch.fx traces the network
def gelu(input: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H, W). On a CPU oneDNN's kernel takes 0.6 of the time, but only contiguous tensors."""
    if not input.is_contiguous(memory_format=channels_last):
        return F.gelu(input)
    return F.gelu(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GELU(nn.GELU):
    """The exact GELU of (N, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        return gelu(input)


@fx.wrap  # torch.autocast is a context, which torch.fx cannot trace
def linear_float32(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(N, in) -> (N, out), in float32 under autocast too."""
    if input.is_meta:  # has no autocast
        return F.linear(input, weight, bias)
    with autocast(input.device.type, enabled=False):
        return F.linear(input.float(), weight, bias)


class Classifier(nn.Linear):
    """A linear layer in float32: bf16 has too few digits to rank the classes."""

    def forward(self, input: Tensor) -> Tensor:
        return linear_float32(input, self.weight, self.bias)


class LayerScale(nn.Module):
    """A learnable factor per channel of (N, C, H, W) (Touvron et al. 2021). One-dimensional, so it is not decayed."""

    def __init__(self, channels: int, value: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(full((channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma[:, None, None]


class GlobalResponseNorm(nn.Module):
    """GRN of ConvNeXt V2 (Woo et al. 2023, Algorithm 1): each channel of (N, C, H, W) competes with the others.

    At its initial values the identity. gamma and beta are one-dimensional, so they are not decayed.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(zeros(channels))
        self.beta = nn.Parameter(zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        norm = linalg.vector_norm(x, dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
        response = norm / (norm.mean(dim=1, keepdim=True) + 1e-6)
        return x + self.gamma[:, None, None] * (x * response) + self.beta[:, None, None]


NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "layer": LayerNorm2d}
ACTS: dict[str, Callable[[], nn.Module]] = {"relu": lambda: nn.ReLU(inplace=True), "gelu": GELU}


def has_bias(config: ModelConfig, normed: bool) -> bool:
    """A convolution has a bias unless a BatchNorm directly follows it, which would subtract it again."""
    return not (normed and config.norm == "batch")


class Block(nn.Module):
    """(N, in, H, W) -> (N, out, H / stride, W / stride): act(shortcut(x) + residual(x)).

    `narrow` are the channels of the bottleneck's narrow side; the kxk convolution has the stride.
    """

    def __init__(self, config: ModelConfig, in_channels: int, narrow: int, stride: int, drop_path_rate: float) -> None:
        super().__init__()
        hidden, out = (EXPANSION * narrow, narrow) if config.inverted else (narrow, EXPANSION * narrow)
        hidden *= config.hidden_factor
        spatial = 0 if config.spatial_first else 1
        middle = in_channels if config.spatial_first else hidden  # channels between the first two convolutions
        channels = [in_channels, middle, hidden, out]

        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i in range(3):
            bias = has_bias(config, normed=i in config.norm_after)
            if i == spatial:
                layers[f"conv{i}"] = build_spatial_conv(config, channels[i], stride, bias)
            else:
                layers[f"conv{i}"] = Pointwise(channels[i], channels[i + 1], 1, bias=bias)
            if i in config.norm_after:
                layers[f"norm{i}"] = NORMS[config.norm](channels[i + 1])
            if i in config.act_after and i < 2:
                layers[f"act{i}"] = ACTS[config.act]()
            if i == 1 and config.grn:
                layers["grn"] = GlobalResponseNorm(hidden)
        if config.layer_scale:
            layers["scale"] = LayerScale(out, config.layer_scale)
        if drop_path_rate:
            from torchvision.ops import StochasticDepth  # imports torch's compiler, which counting costs does not need

            layers["drop"] = StochasticDepth(drop_path_rate, mode="row")
        self.residual = nn.Sequential(layers)

        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out:
            projection = build_pointwise(in_channels, out, stride, bias=has_bias(config, normed=True))
            self.shortcut = nn.Sequential(projection, NORMS[config.norm](out))
        self.act = ACTS[config.act]() if 2 in config.act_after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.residual(x) + self.shortcut(x))
