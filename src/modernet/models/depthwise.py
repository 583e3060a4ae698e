"""The depthwise convolution, computed on a CPU with gradients in other ways than oneDNN's where these are faster."""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, autograd, channels_last, fx, nn

MAX_PIXELS = 16  # of images for which the matrices pay: 4x4
MIN_PRODUCTS = 2**20  # of an image and a kernel, for which a weight gradient image by image pays
ONEDNN_SIZE = 3  # of the kernels whose weight gradient oneDNN computes fast


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


class _ByImages(autograd.Function):
    """A convolution whose weight's gradient is the sum of one convolution per image, with its gradient as the kernel.

    oneDNN's forward kernel is many times as fast as the one for the weight's gradient.
    """

    @staticmethod
    def forward(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(input, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (input, weight) = grad_outputs, ctx.saved_tensors
        padding, channels = weight.shape[-1] // 2, len(weight)
        needs_input, needs_weight, needs_bias = ctx.needs_input_grad
        input_grad = F.conv2d(grad, weight.flip(2, 3), padding=padding, groups=channels) if needs_input else None
        weight_grad = torch.zeros_like(weight) if needs_weight else None
        if weight_grad is not None:
            # Not input[:, None]: by its strides, torch takes an image for channels first, up to 30 times as slow.
            for image, kernels in zip(input.split(1), grad[:, :, None], strict=True):  # (1, C, H, W), (C, 1, H, W)
                weight_grad += F.conv2d(image, kernels, padding=padding, groups=channels).transpose(0, 1)
        return input_grad, weight_grad, grad.sum((0, 2, 3)) if needs_bias else None


@fx.wrap  # its branch depends on the image size, which is unknown while torch.fx traces the network
def depthwise_conv(input: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """(N, C, H, W), weight (C, 1, k, k) -> (N, C, H / stride, W / stride), padded by k // 2.

    For the weight's gradient oneDNN takes 2 to 70 times as long as the other two ways, where they are taken
    (docs/performance.md). Without gradients its convolution is the fastest.
    """
    channels, height, width = input.shape[1:]
    size = weight.shape[-1]
    if (
        torch.is_grad_enabled()
        and not torch.compiler.is_compiling()  # torch.compile writes its own kernel
        and stride == 1
        and input.device.type == "cpu"
        and input.is_contiguous(memory_format=channels_last)
    ):
        if height * width <= MAX_PIXELS and size > max(height, width):
            return _by_matrices(input, weight, bias)
        products = channels * height * width * size**2
        if size > ONEDNN_SIZE and products >= MIN_PRODUCTS and not torch.is_autocast_enabled("cpu"):
            return _ByImages.apply(input, weight, bias)
    return F.conv2d(input, weight, bias, stride, weight.shape[-1] // 2, groups=len(weight))


class DepthwiseConv(nn.Conv2d):
    """A convolution of each channel with a kernel of odd size; it keeps height and width at stride 1."""

    def __init__(self, channels: int, kernel_size: int, stride: int, bias: bool) -> None:
        super().__init__(channels, channels, kernel_size, stride, kernel_size // 2, groups=channels, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        return depthwise_conv(input, self.weight, self.bias, self.stride[0])
