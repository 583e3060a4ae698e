"""Steps beside and behind the paper: published costs, and outputs of independent implementations."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
import torchvision
from timm.models.convnext import ConvNeXtBlock
from timm.models.fastvit import ReparamLargeKernelConv
from timm.models.inception_next import InceptionDWConv2d, MetaNeXtBlock
from torch import Tensor, nn

from modernet import ModelConfig, build_model, roadmap
from modernet.config.roadmap import sizes
from modernet.models.blocks import Block, LayerNorm2d
from modernet.models.flops import model_cost
from modernet.models.folding import fold_small_kernels
from modernet.models.network import Network
from modernet.models.spatial import ParallelConv

RESNEXT50 = ModelConfig(groups=32, hidden_factor=2)
Reference = Callable[[], nn.Module]


def timm_convnext(**fields: Any) -> Reference:
    depths, dims = fields.pop("depths", (3, 3, 9, 3)), fields.pop("dims", (96, 192, 384, 768))
    return lambda: timm.models.ConvNeXt(depths=depths, dims=dims, **fields)


def timm_convnext_with(convolution: Callable[[int], nn.Module]) -> Reference:
    """timm's ConvNeXt-T with other depthwise convolutions."""

    def build() -> nn.Module:
        model: Any = timm_convnext()()
        for module in [*model.modules()]:
            if isinstance(module, ConvNeXtBlock):
                depthwise: Any = module.conv_dw
                module.conv_dw = convolution(depthwise.in_channels)
        return model

    return build


def resnext_with_patches() -> nn.Module:
    """torchvision's ResNeXt 32x4d with the depths and the stem of the step before."""
    model = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [3, 3, 9, 3], groups=32, width_per_group=4)
    model.conv1, model.bn1 = nn.Conv2d(3, 64, 4, 4), nn.Identity()
    return model


# Our network, an independent implementation, and its number of parameters, as published where it is.
REFERENCES: list[tuple[str, ModelConfig, Reference, int]] = [
    ("grn-t", roadmap("t")["grn"], lambda: timm.create_model("convnextv2_tiny"), 28_635_496),
    ("grn-atto", roadmap("atto")["grn"], lambda: timm.create_model("convnextv2_atto"), 3_708_400),
    ("grn-femto", roadmap("femto")["grn"], lambda: timm.create_model("convnextv2_femto"), 5_233_240),
    ("grn-pico", roadmap("pico")["grn"], lambda: timm.create_model("convnextv2_pico"), 9_066_280),
    ("grn-nano", roadmap("nano")["grn"], lambda: timm.create_model("convnextv2_nano"), 15_623_800),
    ("grn-b", roadmap("b")["grn"], lambda: timm.create_model("convnextv2_base"), 88_717_800),
    ("resnext50_32x4d", RESNEXT50, torchvision.models.resnext50_32x4d, 25_028_904),
    ("resnext", roadmap("t")["resnext"], resnext_with_patches, 28_119_080),
    ("conv_stem", roadmap("t")["conv_stem"], timm_convnext(stem_type="overlap_act"), 28_670_152),
    ("inception_mixer", roadmap("t")["inception_mixer"], timm_convnext_with(InceptionDWConv2d), 28_286_080),
    (
        "large_kernel",
        roadmap("t")["large_kernel"],
        timm_convnext_with(lambda dim: ReparamLargeKernelConv(dim, dim, 13, 1, group_size=1, small_kernel=5)),
        29_569_480,
    ),
]


@pytest.mark.parametrize(
    ("config", "reference", "params"), [case[1:] for case in REFERENCES], ids=[case[0] for case in REFERENCES]
)
def test_parameters_equal_the_independent_implementation(config, reference, params):
    with torch.device("meta"):
        theirs = reference()
    assert sum(parameter.numel() for parameter in theirs.parameters()) == params
    assert model_cost(config).params == params


def randomize(model: nn.Module) -> None:
    """Weights and statistics for which no layer is the identity, at a scale that keeps the activations near 1."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.ndim > 1:
            value.normal_(0, value[0].numel() ** -0.5, generator=generator)
        elif value.is_floating_point():
            value.uniform_(-0.5, 0.5, generator=generator)


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Copy weights between implementations that register the same layers in one order, as linear layers or as 1x1."""
    values, targets = source.state_dict(), target.state_dict()
    assert len(values) == len(targets)
    for value, target_value in zip(values.values(), targets.values(), strict=True):
        target_value.copy_(value.reshape(target_value.shape))


# Depths of 1 to 2: every kind of block once, in seconds.
SMALL = (1, 1, 2, 1)
OUTPUTS: list[tuple[str, ModelConfig, Reference]] = [
    (
        "grn",
        replace(roadmap("t")["grn"], depths=SMALL),
        timm_convnext(depths=SMALL, use_grn=True, ls_init_value=None),
    ),
    (
        "conv_stem",
        replace(roadmap("t")["conv_stem"], depths=SMALL, layer_scale=0.0),
        timm_convnext(depths=SMALL, stem_type="overlap_act", ls_init_value=None),
    ),
    (
        "resnext",
        replace(RESNEXT50, depths=SMALL),
        lambda: torchvision.models.ResNet(
            torchvision.models.resnet.Bottleneck, list(SMALL), groups=32, width_per_group=4
        ),
    ),
]


@pytest.mark.parametrize(("config", "reference"), [case[1:] for case in OUTPUTS], ids=[case[0] for case in OUTPUTS])
def test_outputs_equal_the_independent_implementation(config, reference):
    theirs, ours = reference().eval(), build_model(config).eval()
    randomize(theirs)
    copy_in_order(theirs, ours)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        close(ours(images), theirs(images))


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * theirs.abs().max().item())


@torch.no_grad()
def test_inception_mixer_equals_timm_in_a_block():
    """InceptionNeXt has another norm, stem and head; timm's block takes ours, so the mixer alone is compared."""
    config = replace(roadmap("t")["inception_mixer"], layer_scale=0.0)
    theirs = MetaNeXtBlock(96, ls_init_value=0.0).eval()
    theirs.norm = LayerNorm2d(96)
    ours = Block(config, 96, 96, stride=1, drop_path_rate=0.0).eval()
    randomize(theirs)
    copy_in_order(theirs, ours)
    images = torch.randn(2, 96, 14, 14)
    close(ours(images), theirs(images))


@torch.no_grad()
def test_parallel_kernels_equal_timm():
    theirs = ReparamLargeKernelConv(16, 16, kernel_size=13, stride=1, group_size=1, small_kernel=5).eval()
    ours = ParallelConv(16, 13, 5, stride=1, groups=16).eval()
    randomize(theirs)
    copy_in_order(theirs, ours)
    images = torch.randn(2, 16, 14, 14)
    close(ours(images), theirs(images))


def trained(config: ModelConfig) -> Network:
    """A network with weights and running statistics as after some training."""
    model = build_model(config, num_classes=10).eval()
    randomize(model)
    return model


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kernel_size": 31},
        {"norm": "batch", "norm_after": (0, 1, 2)},
        {"downsample": "strided"},
        {"norm_after": ()},
    ],
    ids=str,
)
@torch.no_grad()
def test_folding_small_kernels_keeps_the_outputs(changes):
    """13 and 31; a BatchNorm behind the kernel, which takes the folded bias; a stride; no norm at all."""
    model = trained(replace(roadmap("micro")["large_kernel"], stem_stride=1, **changes))
    folded, images = fold_small_kernels(model), torch.randn(2, 3, 32, 32)
    close(folded(images), model(images))
    assert not any(isinstance(module, ParallelConv) for module in folded.modules())
    assert folded.config == replace(model.config, small_kernel=0)


def test_folding_keeps_the_names_of_the_outputs():
    model = build_model(roadmap("micro")["large_kernel"], 2)
    model.class_names = ("cat", "dog")
    assert fold_small_kernels(model).class_names == ("cat", "dog")


@torch.no_grad()
def test_folding_leaves_the_network_and_networks_without_small_kernels_as_they_are():
    model, images = trained(replace(roadmap("micro")["gelu"], stem_stride=1)), torch.randn(2, 3, 32, 32)
    before = model(images)
    folded = fold_small_kernels(model)
    torch.testing.assert_close(folded(images), before, rtol=0, atol=0)
    folded.classifier.bias.add_(1)
    torch.testing.assert_close(model(images), before, rtol=0, atol=0)


@torch.no_grad()
def test_grn_is_the_identity_at_its_initial_values():
    model = build_model(replace(roadmap("micro")["grn"], stem_stride=1), num_classes=10)
    without = build_model(replace(model.config, grn=False), num_classes=10)
    without.load_state_dict({name: value for name, value in model.state_dict().items() if ".grn." not in name})
    images = torch.randn(2, 3, 8, 8)
    close(model(images), without(images))


def test_resnext_has_four_channels_per_group_in_its_first_stage_at_every_size():
    for size in sizes():
        config = roadmap(size)["resnext"]
        hidden = config.width * config.hidden_factor
        assert hidden == 4 * config.groups, size
