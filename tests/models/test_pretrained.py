"""Pretrained weights: both ends of the roadmap are torchvision's networks, weight for weight."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TypeVar

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from modernet import ModelConfig, build_model, roadmap
from modernet.models.pretrained import export_pretrained, find_source, load_pretrained

ENDS: dict[tuple[str, str], Callable[[], nn.Module]] = {
    ("t", "resnet50"): torchvision.models.resnet50,
    ("t", "convnext"): torchvision.models.convnext_tiny,
    ("b", "resnet200"): lambda: ResNet(Bottleneck, [3, 24, 36, 3]),
    ("b", "convnext"): torchvision.models.convnext_base,
}
# Size b has the same layers in greater number.
EACH_END = pytest.mark.parametrize(
    ("size", "step"), [pytest.param(*end, marks=pytest.mark.slow if end[0] == "b" else ()) for end in ENDS]
)


M = TypeVar("M", bound=nn.Module)


@torch.no_grad()
def perturb(model: M) -> M:
    """Move every parameter and statistic away from its initial value, so that a forgotten one changes the output."""
    generator = torch.Generator().manual_seed(0)

    def perturb_part(part: str) -> None:
        for name, value in model.state_dict().items():
            if part in name and value.is_floating_point():
                value.mul_(1 + 0.2 * torch.rand(value.shape, generator=generator))
                value.add_(0.01 * torch.rand(value.shape, generator=generator))

    for name, value in model.named_parameters():
        if name.endswith(("layer_scale", "gamma")):
            value.fill_(0.5)
    perturb_part("")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()(torch.randn(4, 3, 64, 64, generator=generator))  # statistics that keep the activations small
    perturb_part("running_")
    return model.eval()


@cache
def reference_network(size: str, step: str) -> nn.Module:
    """Torchvision's network, perturbed; built once for all tests, which do not change it."""
    return perturb(ENDS[size, step]())


def random_images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@EACH_END
@torch.no_grad()
def test_outputs_equal_torchvision(size, step):
    reference = reference_network(size, step)
    model = build_model(roadmap(size)[step]).eval()
    load_pretrained(model, reference.state_dict(), "torchvision")
    images = random_images()
    expected, outputs = reference(images), model(images)
    assert expected.std() > 0.01  # the activations have not died out
    assert (outputs - expected).abs().max() <= 1e-5 * expected.abs().max()


@EACH_END
def test_export_returns_the_torchvision_checkpoint(size, step):
    state = reference_network(size, step).state_dict()
    model = build_model(roadmap(size)[step])
    load_pretrained(model, state, "torchvision")
    exported = export_pretrained(model)
    assert sorted(exported) == sorted(state)
    assert all(torch.equal(exported[name], value) for name, value in state.items())
    with torch.device("meta"):
        ENDS[size, step]().load_state_dict(exported, assign=True)  # raises for a name or a shape that differs


class OfficialBlock(nn.Module):
    """A ConvNeXt block with the parameter names of the paper's repository, written from the paper's Figure 4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class ChannelsFirstNorm(nn.LayerNorm):
    def forward(self, input):
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class OfficialConvNeXt(nn.Module):
    """ConvNeXt with the parameter names of the paper's repository."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = [config.width * 2**i for i in range(4)]
        norms = [ChannelsFirstNorm(width, eps=1e-6) for width in widths]
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelsFirstNorm(widths[0], eps=1e-6))
        between = [nn.Sequential(norms[i], nn.Conv2d(widths[i], widths[i + 1], 2, 2)) for i in range(3)]
        self.downsample_layers = nn.ModuleList([stem, *between])
        stages = [nn.Sequential(*[OfficialBlock(widths[i]) for _ in range(config.depths[i])]) for i in range(4)]
        self.stages = nn.ModuleList(stages)
        self.norm = nn.LayerNorm(widths[3], eps=1e-6)
        self.head = nn.Linear(widths[3], 1000)

    def forward(self, x):
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return self.head(self.norm(x.mean([2, 3])))


@pytest.mark.parametrize("size", ["micro", *(pytest.param(size, marks=pytest.mark.slow) for size in "tb")])
@torch.no_grad()
def test_official_checkpoint_loads_wrapped_or_not(size):
    config = roadmap(size)["convnext"]
    reference = perturb(OfficialConvNeXt(config))
    images = random_images()
    expected = reference(images)
    for checkpoint in (reference.state_dict(), {"model": reference.state_dict()}):
        model = build_model(config).eval()
        load_pretrained(model, checkpoint, "authors")
        assert (model(images) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("stem_stride", [4, 2, 1])
@pytest.mark.parametrize("step", ["resnet50", "convnext"])
@pytest.mark.parametrize("source", ["torchvision", "authors"])
def test_export_returns_for_any_number_of_classes_and_stem_stride(step, source, stem_stride):
    config = replace(roadmap("micro")[step], stem_stride=stem_stride)
    model, copy = build_model(config, 7), build_model(config, 7)
    perturb(model)
    exported = export_pretrained(model, source)
    assert find_source(exported) == ("torchvision" if step == "resnet50" else source)
    load_pretrained(copy, exported, source)
    assert all(torch.equal(value, copy.state_dict()[name]) for name, value in model.state_dict().items())


@torch.no_grad()
def test_timm_loads_the_authors_names_by_its_own_filter():
    timm, convnext = pytest.importorskip("timm"), pytest.importorskip("timm.models.convnext")
    for stem_stride, num_classes in ((4, 7), (1, 1000)):  # timm adds a downsampling layer to a stem of stride 2
        config = replace(roadmap("micro")["convnext"], stem_stride=stem_stride)
        model = build_model(config, num_classes)
        perturb(model)
        widths = [config.width * 2**i for i in range(4)]
        reference = timm.create_model(
            "convnext_tiny", depths=config.depths, dims=widths, patch_size=stem_stride, num_classes=num_classes
        ).eval()
        filtered = convnext.checkpoint_filter_fn(export_pretrained(model, "authors"), reference)
        reference.load_state_dict(filtered)  # raises for a name or a shape that differs
        images = random_images()
        expected, features = reference(images), reference.forward_features(images)  # pyright: ignore
        assert (model(images) - expected).abs().max() <= 1e-5 * expected.abs().max()
        assert (model.forward_features(images) - features).abs().max() <= 1e-5 * features.abs().max()


def test_timm_loads_an_exported_resnet():
    timm = pytest.importorskip("timm")
    model = build_model(roadmap("t")["resnet50"], 10)
    timm.create_model("resnet50", num_classes=10).load_state_dict(export_pretrained(model, "authors"))


def test_official_resnet_checkpoint_has_torchvision_names():
    reference = reference_network("t", "resnet50").state_dict()
    model = build_model(roadmap("t")["resnet50"])
    load_pretrained(model, reference, "official")
    assert torch.equal(model.classifier.weight, reference["fc.weight"])


def test_checkpoint_of_another_network_is_rejected_with_names_and_copies_nothing():
    model = build_model(roadmap("micro")["convnext"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    checkpoint = export_pretrained(model)
    del checkpoint["features.0.0.weight"]
    checkpoint["features.9.weight"] = torch.ones(1)
    checkpoint["classifier.2.bias"] = torch.ones(10)
    with pytest.raises(ValueError, match="does not fit") as caught:
        load_pretrained(model, checkpoint, "torchvision")
    message = str(caught.value)
    assert "missing: features.0.0.weight;" in message
    assert "unknown: features.9.weight;" in message
    assert "of another shape: classifier.2.bias (10,) instead of (1000,)" in message
    with pytest.raises(ValueError, match=r"missing: conv1.weight, bn1.weight, .* and \d+ more"):
        load_pretrained(build_model(roadmap("micro")["resnet50"]), checkpoint, "torchvision")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_old_checkpoint_without_num_batches_tracked_loads():
    reference = reference_network("t", "resnet50").state_dict()
    old = {name: value for name, value in reference.items() if not name.endswith("num_batches_tracked")}
    assert len(old) < len(reference)
    load_pretrained(build_model(roadmap("t")["resnet50"]), old, "torchvision")


@pytest.mark.parametrize("step", ["gelu", "separate_downsampling"])
def test_intermediate_step_has_no_pretrained_weights(step):
    with pytest.raises(ValueError, match="only the two ends"):
        load_pretrained(build_model(roadmap("micro")[step]), {}, "torchvision")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (roadmap("micro")["gelu"], r"from resnet50 in .* and from convnext in act_after=\(0, 1, 2\)"),
        (replace(roadmap("micro")["convnext"], act="relu"), "from convnext in act=relu"),
        (replace(roadmap("micro")["resnet50"], layer_scale=0.1), "from resnet50 in layer_scale=0.1"),
        (roadmap("micro")["separate_downsampling"], "from convnext in layer_scale=0.0"),
    ],
)
def test_network_without_a_counterpart_is_refused_with_the_fields_that_differ(config, reason):
    for source in ("torchvision", "authors"):
        with pytest.raises(ValueError, match=reason):
            export_pretrained(build_model(config, 10), source)


def test_unknown_source_is_rejected():
    with pytest.raises(ValueError, match="source must be one of torchvision, authors, got 'timm'"):
        load_pretrained(build_model(roadmap("micro")["convnext"]), {}, "timm")
