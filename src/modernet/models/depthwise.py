"""The depthwise convolution; on a CPU, one whose kernel is larger than the image is a matrix product per channel."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, channels_last, fx, nn

MAX_PIXELS = 16  # of images for which the matrices pay: 4x4


@lru_cache
def _taps(height: int, width: int, kernel_size: int) -> Tensor:
    """(k * k, H * W * H * W) of 0 and 1: the tap of the kernel that leads from an input pixel to an output pixel."""
    y, x = (axis.flatten() for axis in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    row, column = (axis[:, None] - axis[None, :] + kernel_size // 2 for axis in (y, x))  # (input, output)
    inside = (row >= 0) & (row < kernel_size) & (column >= 0) & (column < kernel_size)
    tap = torch.where(inside, row * kernel_size + column, -1).flatten()
    return (tap == torch.arange(kernel_size**2)[:, None]).float()


def _by_matrices(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(N, C, H, W), weight (C, 1, k, k) -> (N, C, H, W), with one (H * W, H * W) matrix per channel."""
    images, channels, height, width = input.shape
    taps = _taps(height, width, weight.shape[-1]).to(weight.dtype)
    matrices = (weight.flatten(1) @ taps).view(channels, height * width, height * width)
    pixels = input.permute(1, 0, 2, 3).reshape(channels, images, height * width)
    output = pixels @ matrices if bias is None else torch.baddbmm(bias[:, None, None], pixels, matrices)
    output = output.view(channels, images, height, width).permute(1, 0, 2, 3)
    return output.contiguous(memory_format=channels_last)


@fx.wrap  # its branch depends on the image size, which is unknown while torch.fx traces the network
def depthwise_conv(input: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """(N, C, H, W), weight (C, 1, k, k) -> (N, C, H / stride, W / stride), padded by k // 2.

    oneDNN takes 4 to 8 times as long, for the weight's gradient, at 4x4 and 2x2 pixels (docs/performance.md). Without
    gradients its convolution is faster.
    """
    height, width = input.shape[2:]
    if (
        torch.is_grad_enabled()
        and not torch.compiler.is_compiling()  # torch.compile writes its own kernel
        and stride == 1
        and height * width <= MAX_PIXELS
        and weight.shape[-1] > max(height, width)
        and input.device.type == "cpu"
        and input.is_contiguous(memory_format=channels_last)
    ):
        return _by_matrices(input, weight, bias)
    return F.conv2d(input, weight, bias, stride, weight.shape[-1] // 2, groups=len(weight))


class DepthwiseConv(nn.Conv2d):
    """A convolution of each channel with a kernel of odd size; it keeps height and width at stride 1."""

    def __init__(self, channels: int, kernel_size: int, stride: int, bias: bool) -> None:
        super().__init__(channels, channels, kernel_size, stride, kernel_size // 2, groups=channels, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        return depthwise_conv(input, self.weight, self.bias, self.stride[0])
