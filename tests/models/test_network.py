"""The network of a ModelConfig: every combination of fields runs, and the config rejects everything else."""

import random
from collections.abc import Iterable
from dataclasses import fields, replace
from itertools import product
from typing import Any, get_args, get_type_hints

import pytest
import torch
import torchvision
from pydantic import ValidationError
from torch import nn
from torchvision.ops import StochasticDepth

from modernet import ModelConfig, build_model, roadmap
from modernet.config.schema import RecipeConfig
from modernet.models.blocks import ACTS, NORMS
from modernet.models.init import INITS, init_weights
from modernet.models.network import Network, build_stem

# Off and on for each of the thirteen fields that the published steps change, small enough to run all 2^13 combinations.
SWITCHES: dict[str, tuple[Any, Any]] = {
    "depths": ((1, 1, 1, 1), (1, 1, 2, 1)),
    "width": (8, 9),  # torch 2.15 corrupts memory in a strided 1x1 convolution of fewer than 8 channels (oneDNN, AVX2)
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
COMBINATIONS = list(product(*SWITCHES.values()))
# Values of the fields of steps beside and behind the paper; a test runs each with sampled combinations of the others.
EXTENSIONS: dict[str, Any] = {"groups": 4, "hidden_factor": 2, "grn": True, "mixer": "inception", "small_kernel": 1}


def assert_forward_and_backward_run(combinations: Iterable[tuple[Any, ...]], **fixed: Any) -> None:
    images = torch.randn(2, 3, 8, 8)
    for values in combinations:
        fields: dict[str, Any] = dict(zip(SWITCHES, values, strict=True)) | {"stem_stride": 1} | fixed
        config = ModelConfig(**fields)
        model = build_model(config, num_classes=3)
        logits = model(images)
        assert logits.shape == (2, 3), config
        logits.square().sum().backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert len(gradients) == len(list(model.parameters())), config
        assert nn.utils.get_total_norm(gradients).isfinite(), config


def test_sampled_combinations_run_forward_and_backward():
    """64 random combinations cover every pair of values of two fields; the slow test runs all 8,192."""
    sample = random.Random(0).sample(COMBINATIONS, 64)
    pairs = {(i, a, j, b) for values in sample for i, a in enumerate(values) for j, b in enumerate(values) if i < j}
    assert len(pairs) == 4 * 13 * 12 // 2
    assert_forward_and_backward_run(sample)


# What a value of EXTENSIONS requires of the published fields.
REQUIRED: dict[str, dict[str, Any]] = {"groups": {"depthwise": False, "width": 8}, "mixer": {"depthwise": True}}


@pytest.mark.parametrize("field", [*EXTENSIONS, "stem"])
def test_fields_beyond_the_paper_run_with_sampled_combinations_of_the_others(field):
    sample = random.Random(1).sample(COMBINATIONS, 24)
    assert_forward_and_backward_run(sample, **REQUIRED.get(field, {}), **{field: EXTENSIONS.get(field, "overlap")})


@pytest.mark.parametrize("step", roadmap("micro"))
def test_logits_are_computed_in_float32_under_bf16(step):
    model = build_model(roadmap("micro")[step], num_classes=10).eval()
    features: list[torch.Tensor] = []
    model.classifier.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(torch.randn(2, 3, 32, 32))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, model.classifier(features[0]), rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_every_combination_runs_forward_and_backward(part):
    """With kernels of 1 and 3: weights of 7x7 would take half of the time, and the sampled combinations have them."""
    combinations = list(product(*(SWITCHES | {"kernel_size": (1, 3)}).values()))
    assert len(combinations) == 2**13
    assert_forward_and_backward_run(combinations[part::8])


def test_combinations_cover_every_field_except_stem_stride():
    assert {*SWITCHES, *EXTENSIONS} == {field.name for field in fields(ModelConfig)} - {"stem_stride"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"groups": 32, "depthwise": True}, "must be 1 where depthwise=true, which has one group per channel, got 32"),
        ({"groups": 32, "width": 84}, "must divide the 84 channels of the first kxk convolution, got 32"),
        (
            {"groups": 32, "width": 24, "spatial_first": True},
            "must divide the 24 channels of the first kxk convolution, got 32",
        ),
        ({"mixer": "inception"}, "mixer=inception needs depthwise=true, whose convolution it replaces"),
        ({"mixer": "inception", "depthwise": True, "width": 7}, "mixer=inception needs width >= 8, got 7"),
        ({"small_kernel": 4, "kernel_size": 13}, "must be odd, or 0 for none, got 4"),
        ({"small_kernel": 5}, "must be below kernel_size=3, got 5"),
        (
            {"small_kernel": 5, "kernel_size": 11, "mixer": "inception", "depthwise": True},
            "must be 0 where mixer=inception, which has no kxk convolution",
        ),
    ],
)
def test_model_config_rejects_combinations_without_a_meaning(values, message):
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**values)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kernel_size", 4, "must be odd to keep the size, got 4"),
        ("kernel_size", -3, "greater than 0"),
        ("kernel_size", "big", "valid integer"),
        ("stem", "conv", "'resnet', 'patchify' or 'overlap'"),
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
def test_model_config_rejects_invalid_value_and_names_allowed_ones(field, value, message):
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**{field: value})


def test_layer_tables_have_the_names_that_the_schema_allows():
    hints = get_type_hints(ModelConfig)
    assert set(NORMS) == set(get_args(hints["norm"]))
    assert set(ACTS) == set(get_args(hints["act"]))
    assert {*INITS, "torch"} == set(get_args(get_type_hints(RecipeConfig)["init"]))


def test_conv_has_bias_unless_batch_norm_follows_directly():
    for size in ("t", "micro"):
        for name, config in roadmap(size).items():
            with torch.device("meta"):
                model = build_model(config)
            for path, module in model.named_modules():
                if not isinstance(module, nn.Sequential):
                    continue
                following = [*list(module)[1:], None]
                for layer, after in zip(module, following, strict=True):
                    if isinstance(layer, nn.Conv2d):
                        assert (layer.bias is None) == isinstance(after, nn.BatchNorm2d), (size, name, path)


@pytest.mark.parametrize("stem", ["resnet", "patchify", "overlap"])
@pytest.mark.parametrize(("stride", "size"), [(4, 8), (2, 16), (1, 32)])
def test_stem_downsamples_by_its_stride(stem, stride, size):
    layers = build_stem(ModelConfig(stem=stem, stem_stride=stride, width=4))
    assert layers(torch.randn(1, 3, 32, 32)).shape == (1, 4, size, size)


@pytest.mark.parametrize("step", roadmap("micro"))
@pytest.mark.parametrize("stride", [4, 2, 1])
def test_min_image_size_is_the_smallest_that_runs(step, stride):
    config = replace(roadmap("micro")[step], stem_stride=stride)
    model, size = build_model(config, num_classes=2).eval(), config.min_image_size
    model(torch.randn(1, 3, size, size))
    if config.downsample == "separate":
        with pytest.raises(RuntimeError):
            model(torch.randn(1, 3, size - 1, size - 1))


@pytest.mark.parametrize("step", ["resnet50", "convnext", "grn"])
def test_a_network_runs_on_the_meta_device(step):
    """For shapes without memory."""
    with torch.device("meta"):
        model = build_model(roadmap("micro")[step], 10)
        assert model(torch.empty(2, 3, 32, 32)).shape == (2, 10)


def test_drop_path_rate_grows_linearly_to_the_last_block():
    with torch.device("meta"):
        model, without = build_model(roadmap("t")["convnext"], drop_path_rate=0.1), build_model(ModelConfig())
    rates = [module.p for module in model.modules() if isinstance(module, StochasticDepth)]
    assert rates == pytest.approx([0.1 * i / 17 for i in range(1, 18)])
    assert not any(isinstance(module, StochasticDepth) for module in without.modules())


def build_initialized(init: str) -> Network:
    """A network wide enough that the spread of each layer's weights is known to a few percent."""
    torch.manual_seed(0)
    model = build_model(replace(roadmap("t")["gelu"], depths=(1, 1, 1, 1)), num_classes=100)
    init_weights(model, init, 0.02)
    return model


@pytest.mark.parametrize(
    ("init", "std"),
    [
        ("trunc_normal", lambda conv: 0.02),
        ("fan_in", lambda conv: (conv.weight[0].numel()) ** -0.5),
        ("he_fan_out", lambda conv: (2 / (conv.weight.shape[0] * conv.weight[0, 0].numel())) ** 0.5),
        ("torchvision", lambda conv: (2 / (conv.weight.shape[0] * conv.weight[0, 0].numel())) ** 0.5),
    ],
)
def test_init_draws_every_conv_with_its_std_and_zero_bias(init, std):
    for conv in build_initialized(init).modules():
        if isinstance(conv, nn.Conv2d):
            assert conv.weight.std().item() == pytest.approx(std(conv), rel=0.05)
            assert conv.bias is None or conv.bias.count_nonzero() == 0


def test_init_torch_keeps_the_weights_that_torch_drew():
    torch.manual_seed(0)
    drawn = build_model(replace(roadmap("t")["gelu"], depths=(1, 1, 1, 1)), num_classes=100)
    kept = build_initialized("torch")
    assert all(torch.equal(a, b) for a, b in zip(drawn.parameters(), kept.parameters(), strict=True))


def test_init_torchvision_is_that_of_its_resnet():
    """With the same draws: its convolutions and norms, and the classifier as torch made it, with its bias."""
    ours = build_model(roadmap("t")["resnet50"])
    torch.manual_seed(0)
    drawn = nn.Linear(2048, 1000)
    ours.classifier.load_state_dict(drawn.state_dict())
    torch.manual_seed(1)
    init_weights(ours, "torchvision", 0.02)
    assert torch.equal(ours.classifier.weight, drawn.weight)
    assert torch.equal(ours.classifier.bias, drawn.bias)
    theirs = torchvision.models.resnet50()
    norms = [module for module in ours.modules() if isinstance(module, nn.BatchNorm2d)]
    expected_norms = [module for module in theirs.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == len(expected_norms)
    assert all(norm.weight.eq(1).all() and norm.bias.eq(0).all() for norm in (*norms, *expected_norms))
    stds = {
        shape: [conv.weight.std().item() for conv in model.modules() if isinstance(conv, nn.Conv2d)]
        for model, shape in ((ours, "ours"), (theirs, "theirs"))
    }
    assert sorted(stds["ours"]) == pytest.approx(sorted(stds["theirs"]), rel=0.05)
    assert theirs.fc.bias.count_nonzero() == 1000


@pytest.mark.parametrize("step", roadmap("micro"))
def test_init_of_the_classifier_is_the_same_for_every_step(step):
    """A step changes nothing about the initial weights but the draw."""
    model = build_model(roadmap("micro")[step])
    init_weights(model, "trunc_normal", 0.02)
    assert model.classifier.weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("num_classes", [0, -1])
def test_a_network_without_classes_is_refused(num_classes):
    with pytest.raises(ValueError, match=f"num_classes must be 1 or more, got {num_classes}"):
        build_model(roadmap("micro")["gelu"], num_classes)
