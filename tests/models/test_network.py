"""Every combination of a ModelConfig's fields is a network that runs; what is no combination is refused."""

from dataclasses import fields, replace
from itertools import product
from typing import get_args, get_type_hints

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torchvision.ops import StochasticDepth

from modernet import ModelConfig
from modernet import build
from modernet import roadmap
from modernet.models.blocks import ACTS, NORMS
from modernet.models.network import INITS, Network, initialize, smallest_image
from modernet.config.schema import RecipeConfig

# Off and on for each of the thirteen fields that the steps change, small enough to run them all.
SWITCHES = {
    "depths": ((1, 1, 1, 1), (1, 1, 2, 1)),
    "width": (2, 3),
    "stem": ("resnet", "patchify"),
    "depthwise": (False, True),
    "inverted": (False, True),
    "spatial_first": (False, True),
    "kernel_size": (3, 7),
    "act": ("relu", "gelu"),
    "act_after": ((0, 1, 2), (1,)),
    "norm_after": ((0, 1, 2), (0,)),
    "norm": ("batch", "layer"),
    "downsample": ("strided", "separate"),
    "layer_scale": (0.0, 1e-6),
}


@pytest.mark.slow
@pytest.mark.parametrize("slice_", range(8))
def test_every_combination_runs_forward_and_backward(slice_):
    images = torch.randn(2, 3, 8, 8)
    combinations = list(product(*SWITCHES.values()))
    assert len(combinations) == 2**13
    for values in combinations[slice_::8]:
        spec = ModelConfig(stem_stride=1, **dict(zip(SWITCHES, values, strict=True)))
        model = build(spec, num_classes=3)
        logits = model(images)
        assert logits.shape == (2, 3), spec
        logits.square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters()), spec


def test_switches_cover_every_field_but_the_stems_stride():
    assert set(SWITCHES) == {field.name for field in fields(ModelConfig)} - {"stem_stride"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kernel_size", 4, "must be odd to keep the size, got 4"),
        ("kernel_size", -3, "greater than 0"),
        ("kernel_size", "big", "valid integer"),
        ("stem", "conv", "'resnet' or 'patchify'"),
        ("stem_stride", 3, "4, 2 or 1"),
        ("act", "swish", "'relu' or 'gelu'"),
        ("act_after", (2, 1), r"in order, e.g. \[0, 2\], got \[2, 1\]"),
        ("norm_after", (0, 3), "0, 1 or 2"),
        ("depths", (3, 4, 6), "at least 4"),
        ("width", 0, "greater than 0"),
        ("layer_scale", -1e-6, "greater than or equal to 0"),
        ("kernal_size", 3, "kernal_size"),
    ],
)
def test_impossible_values_are_refused_with_what_is_allowed(field, value, message):
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**{field: value})


def test_tables_offer_what_the_spec_allows():
    hints = get_type_hints(ModelConfig)
    assert set(NORMS) == set(get_args(hints["norm"]))
    assert set(ACTS) == set(get_args(hints["act"]))
    assert {*INITS, "torch"} == set(get_args(get_type_hints(RecipeConfig)["init"]))


def test_a_convolution_has_a_bias_unless_a_batchnorm_directly_follows():
    for size in ("t", "micro"):
        for name, spec in roadmap(size).items():
            for path, module in build(spec).named_modules():
                if not isinstance(module, nn.Sequential):
                    continue
                following = [*list(module)[1:], None]
                for layer, after in zip(module, following, strict=True):
                    if isinstance(layer, nn.Conv2d):
                        assert (layer.bias is None) == isinstance(after, nn.BatchNorm2d), (size, name, path)


@pytest.mark.parametrize("stem", ["resnet", "patchify"])
@pytest.mark.parametrize(("stride", "size"), [(4, 8), (2, 16), (1, 32)])
def test_the_stem_shrinks_the_image_by_its_stride(stem, stride, size):
    model = build(ModelConfig(stem=stem, stem_stride=stride, width=4))
    assert model.stem(torch.randn(1, 3, 32, 32)).shape == (1, 4, size, size)


@pytest.mark.parametrize("step", roadmap("micro"))
@pytest.mark.parametrize("stride", [4, 2, 1])
def test_the_smallest_image_is_large_enough_and_no_larger_than_needed(step, stride):
    spec = replace(roadmap("micro")[step], stem_stride=stride)
    size = smallest_image(spec)
    build(spec).eval()(torch.randn(1, 3, size, size))
    if spec.downsample == "separate":
        with pytest.raises(RuntimeError):
            build(spec).eval()(torch.randn(1, 3, size - 1, size - 1))


def test_stochastic_depth_grows_linearly_to_the_last_block():
    model = build(roadmap("t")["convnext"], drop_path_rate=0.1)
    rates = [module.p for module in model.modules() if isinstance(module, StochasticDepth)]
    assert rates == pytest.approx([0.1 * i / 17 for i in range(1, 18)])
    assert not any(isinstance(module, StochasticDepth) for module in build(ModelConfig()).modules())


def weights(init: str) -> Network:
    torch.manual_seed(0)
    model = build(roadmap("t")["gelu"])
    initialize(model, init, 0.02)
    return model


@pytest.mark.parametrize(
    ("init", "std"),
    [
        ("trunc_normal", lambda conv: 0.02),
        ("fan_in", lambda conv: (conv.weight[0].numel()) ** -0.5),
        ("he_fan_out", lambda conv: (2 / (conv.weight.shape[0] * conv.weight[0, 0].numel())) ** 0.5),
    ],
)
def test_init_draws_every_convolution_with_its_std(init, std):
    for conv in weights(init).modules():
        if isinstance(conv, nn.Conv2d):
            assert conv.weight.std().item() == pytest.approx(std(conv), rel=0.05)
            assert conv.bias is None or conv.bias.count_nonzero() == 0


def test_init_torch_leaves_what_torch_drew():
    torch.manual_seed(0)
    drawn = build(roadmap("t")["gelu"])
    assert all(torch.equal(a, b) for a, b in zip(drawn.parameters(), weights("torch").parameters(), strict=True))


def test_every_modern_step_starts_from_the_same_init():
    """No step hides a change of init: shared layers of two steps differ in nothing but the draw."""
    for spec in roadmap("micro").values():
        model = build(spec)
        initialize(model, "trunc_normal", 0.02)
        linear = model.classifier.weight
        assert linear.std().item() == pytest.approx(0.02, rel=0.05)
