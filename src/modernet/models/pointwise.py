"""1x1 convolutions: with stride 1 as one matrix product, with a stride and few channels without oneDNN's kernel."""

import torch.nn.functional as F
from torch import Tensor, channels_last, fx, nn

# oneDNN's blocks of channels with AVX-512; 8 with AVX2. A strided 1x1 convolution of fewer channels in channels_last
# writes behind the memory of its weight's gradient (uxlfoundation/oneDNN, issue 6035; torch 2.15 has the fault): the
# gradient is wrong, or the process dies.
ONEDNN_BLOCK = 16


@fx.wrap  # its branch depends on the memory layout, which is unknown while torch.fx traces the network
def pointwise_conv(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(N, in, H, W), weight (out, in, 1, 1) -> (N, out, H, W)."""
    if not input.is_contiguous(memory_format=channels_last):
        return F.conv2d(input, weight, bias)
    return F.linear(input.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


class Pointwise(nn.Conv2d):
    """A 1x1 convolution with stride 1, computed as one matrix product in channels_last."""

    def forward(self, input: Tensor) -> Tensor:
        return pointwise_conv(input, self.weight, self.bias)


class NarrowStridedPointwise(nn.Conv2d):
    """A 1x1 convolution with a stride, computed with stride 1 on the pixels that it reads."""

    def forward(self, input: Tensor) -> Tensor:
        stride = self.stride[0]
        return F.conv2d(input[..., ::stride, ::stride], self.weight, self.bias, groups=self.groups)


def build_pointwise(in_channels: int, out: int, stride: int, bias: bool, groups: int = 1) -> nn.Conv2d:
    """A 1x1 convolution, (N, in, H, W) -> (N, out, H / stride, W / stride), whose gradient is right on every CPU."""
    is_narrow = stride > 1 and in_channels // groups < ONEDNN_BLOCK
    layer = NarrowStridedPointwise if is_narrow else nn.Conv2d
    return layer(in_channels, out, 1, stride, groups=groups, bias=bias)
