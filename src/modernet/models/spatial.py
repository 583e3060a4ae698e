"""The spatial layer of a block: one kxk convolution, or what the steps beyond the paper put in its position."""

import torch
from torch import Tensor, nn

from modernet.config.schema import MIN_INCEPTION_WIDTH, ModelConfig
from modernet.models.depthwise import DepthwiseConv
from modernet.models.pointwise import build_pointwise

SQUARE_KERNEL = 3  # of InceptionConv


def build_spatial_conv(config: ModelConfig, channels: int, stride: int, bias: bool) -> nn.Module:
    """(N, channels, H, W) -> (N, channels, H / stride, W / stride)."""
    groups = channels if config.depthwise else config.groups
    if config.mixer == "inception":
        return InceptionConv(channels, config.kernel_size, stride, bias)
    if config.small_kernel:
        return ParallelConv(channels, config.kernel_size, config.small_kernel, stride, groups)
    return _square_conv(channels, config.kernel_size, stride, groups, bias)


def _square_conv(channels: int, size: int, stride: int, groups: int, bias: bool) -> nn.Conv2d:
    if groups == channels:
        return DepthwiseConv(channels, size, stride, bias)
    if size == 1:
        return build_pointwise(channels, channels, stride, bias, groups)
    return nn.Conv2d(channels, channels, size, stride, size // 2, groups=groups, bias=bias)


class ParallelConv(nn.Module):
    """The sum of a large and a small convolution, each with its BatchNorm (Ding et al. 2022, RepLKNet).

    For inference `modernet.models.folding` replaces both by one convolution.
    """

    def __init__(self, channels: int, large: int, small: int, stride: int, groups: int) -> None:
        super().__init__()
        self.large, self.small = (
            nn.Sequential(_square_conv(channels, size, stride, groups, bias=False), nn.BatchNorm2d(channels))
            for size in (large, small)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.large(x) + self.small(x)


class InceptionConv(nn.Module):
    """Depthwise convolutions of four parts of the channels: identity, 3x3, 1xk and kx1 (Yu et al. 2023, InceptionNeXt).

    Each convolution has an eighth of the channels, the identity the rest.
    """

    def __init__(self, channels: int, band: int, stride: int, bias: bool) -> None:
        super().__init__()
        part = channels // MIN_INCEPTION_WIDTH
        self.parts = channels - 3 * part, part, part, part
        self.stride = stride
        sizes = (SQUARE_KERNEL, SQUARE_KERNEL), (1, band), (band, 1)
        self.square, self.row, self.column = (
            nn.Conv2d(part, part, (h, w), stride, (h // 2, w // 2), groups=part, bias=bias) for h, w in sizes
        )

    def forward(self, x: Tensor) -> Tensor:
        kept, square, row, column = x.split(self.parts, dim=1)
        kept = kept[..., :: self.stride, :: self.stride]  # a 1x1 convolution with the identity as its weight
        return torch.cat([kept, self.square(square), self.row(row), self.column(column)], dim=1)
