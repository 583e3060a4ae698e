"""The faster ways to compute a layer on a CPU give the values and gradients of the plain ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import channels_last, nn

from modernet import ModelConfig, build_model
from modernet.models.blocks import GELU, Pointwise
from modernet.models.depthwise import DepthwiseConv


def assert_same_function(ours: nn.Module, plain: nn.Module, x: torch.Tensor) -> None:
    """Equal outputs and gradients of input and parameters, in float64."""
    plain.load_state_dict(ours.state_dict())
    results = []
    for module in (ours, plain):
        input = x.double().clone(memory_format=torch.preserve_format).requires_grad_()
        output = module.double()(input)
        output.backward(torch.cos(torch.arange(output.numel()).view_as(output).double()))
        results.append([output, input.grad, *(parameter.grad for parameter in module.parameters())])
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("format", [torch.contiguous_format, channels_last])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (4, 4), (2, 4), (5, 5)])
@pytest.mark.parametrize(("kernel_size", "stride", "bias"), [(3, 1, True), (5, 1, False), (7, 1, True), (7, 2, True)])
def test_depthwise_convolution_equals_torchs(kernel_size, stride, bias, size, format):
    x = torch.randn(3, 6, *size).to(memory_format=format)
    ours = DepthwiseConv(6, kernel_size, stride, bias).to(memory_format=format)
    plain = nn.Conv2d(6, 6, kernel_size, stride, kernel_size // 2, groups=6, bias=bias)
    assert_same_function(ours, plain, x)
    assert ours(x.double()).is_contiguous(memory_format=format)


@pytest.mark.parametrize(("kernel_size", "dense"), [(3, False), (5, True), (7, True)])
def test_depthwise_convolution_is_dense_where_the_kernel_is_larger_than_the_image(kernel_size, dense):
    x = torch.randn(2, 3, 4, 4).to(memory_format=channels_last)
    layer = DepthwiseConv(3, kernel_size, 1, True)

    def operators() -> set[str]:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            layer(x)
        return {event.key for event in profile.key_averages()}

    assert ("aten::baddbmm" in operators()) == dense
    with torch.no_grad():
        assert "aten::conv2d" in operators()


@pytest.mark.parametrize(
    ("channels", "size", "kernel_size", "bias"),
    [(96, (16, 16), 7, True), (180, (12, 20), 5, False), (8, (16, 16), 31, True), (96, (16, 16), 3, True)],
)
def test_wide_depthwise_convolution_equals_torchs(channels, size, kernel_size, bias):
    x = torch.randn(3, channels, *size).to(memory_format=channels_last)
    ours = DepthwiseConv(channels, kernel_size, 1, bias)
    plain = nn.Conv2d(channels, channels, kernel_size, 1, kernel_size // 2, groups=channels, bias=bias)
    assert_same_function(ours, plain, x)


def weight_gradient_is_by_images(channels: int, kernel_size: int, stride: int = 1) -> bool:
    x = torch.randn(2, channels, 16, 16).to(memory_format=channels_last)
    gradient = DepthwiseConv(channels, kernel_size, stride, True)(x).grad_fn
    return gradient is not None and "ByImages" in gradient.name()


def test_weight_gradient_is_by_images_where_that_is_faster():
    assert weight_gradient_is_by_images(96, 7)
    assert weight_gradient_is_by_images(8, 31)
    assert not weight_gradient_is_by_images(64, 7)  # calls would take longer than what they compute
    assert not weight_gradient_is_by_images(512, 3)
    assert not weight_gradient_is_by_images(96, 7, stride=2)
    with torch.autocast("cpu", torch.bfloat16):
        assert not weight_gradient_is_by_images(96, 7)  # a sum over images in bf16 would lose digits


def test_weight_gradient_by_images_computes_only_what_is_asked_for():
    layer = DepthwiseConv(96, 7, 1, True).requires_grad_(False)
    x = torch.randn(2, 96, 16, 16).to(memory_format=channels_last).requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None
    assert [parameter.grad for parameter in layer.parameters()] == [None, None]
    layer.requires_grad_(True)
    layer(x.detach()).sum().backward()
    assert layer.weight.grad is not None


def test_weight_gradient_by_images_takes_an_empty_batch_and_torch_func():
    layer = DepthwiseConv(96, 7, 1, True)
    layer(torch.randn(0, 96, 16, 16)).sum().backward()
    assert layer.weight.grad is not None
    assert not layer.weight.grad.count_nonzero()
    x = torch.randn(2, 96, 16, 16).to(memory_format=channels_last)
    parameters = dict(layer.named_parameters())
    gradients = torch.func.grad(lambda values: torch.func.functional_call(layer, values, x).sum())(parameters)
    layer(x).sum().backward()
    torch.testing.assert_close(gradients["weight"], layer.weight.grad)


@pytest.mark.parametrize("format", [torch.contiguous_format, channels_last])
def test_gelu_equals_torchs(format):
    x = torch.randn(2, 5, 3, 4).to(memory_format=format)
    assert_same_function(GELU(), nn.GELU(), x)
    assert GELU()(x).is_contiguous(memory_format=format)


@pytest.mark.parametrize("format", [torch.contiguous_format, channels_last])
def test_pointwise_convolution_equals_torchs(format):
    x = torch.randn(2, 5, 3, 4).to(memory_format=format)
    assert_same_function(Pointwise(5, 7, 1).to(memory_format=format), nn.Conv2d(5, 7, 1), x)


def test_depthwise_convolution_is_in_bf16_under_autocast():
    x = torch.randn(2, 3, 4, 4).to(memory_format=channels_last)
    layer = DepthwiseConv(3, 7, 1, True)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(x)
        plain = F.conv2d(x, layer.weight, layer.bias, padding=3, groups=3)
    assert output.dtype == plain.dtype
    torch.testing.assert_close(output, plain, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    "changes",
    [
        {"inverted": True, "width": 4},  # the projection of a shortcut, from 4 to 8 channels
        {"kernel_size": 1, "width": 2},  # the kxk convolution of stage 2, with 4 channels
        {"kernel_size": 1, "width": 8, "groups": 4},
        {"kernel_size": 3, "small_kernel": 1, "width": 2},
        {"inverted": True, "width": 15},  # few channels for AVX-512, many for AVX2
    ],
)
def test_strided_1x1_convolutions_of_few_channels_have_the_right_gradient(changes):
    """oneDNN writes behind the memory of such a gradient: it is wrong, or the process dies."""
    model = build_model(ModelConfig(**{"depths": (1, 1, 1, 1), "stem_stride": 1, **changes}), num_classes=3)
    convs = [module for module in model.stages[1].modules() if isinstance(module, nn.Conv2d)]
    strided = [conv for conv in convs if conv.kernel_size == (1, 1) and conv.stride == (2, 2)]
    assert strided
    for conv in strided:
        images, gradients = torch.randn(64, conv.in_channels, 32, 32).to(memory_format=channels_last), []
        for dtype in (torch.float32, torch.float64):
            conv.zero_grad()
            layer = conv.to(dtype).to(memory_format=channels_last)  # pyright: ignore[reportCallIssue]
            layer(images.to(dtype)).square().sum().backward()
            assert conv.weight.grad is not None
            gradients.append(conv.weight.grad.double())
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-3)
