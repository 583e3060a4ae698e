"""Both ends of the roadmap are torchvision's networks, weight for weight."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from modernet import build
from modernet import roadmap
from modernet.models.pretrained import export, load

ENDS = {
    ("t", "resnet50"): torchvision.models.resnet50,
    ("t", "convnext"): torchvision.models.convnext_tiny,
    ("b", "resnet200"): lambda: ResNet(Bottleneck, [3, 24, 36, 3]),
    ("b", "convnext"): torchvision.models.convnext_base,
}


@torch.no_grad()
def perturbed(model: nn.Module) -> nn.Module:
    """Every parameter and statistic away from where it starts, so that none can be forgotten unseen."""
    generator = torch.Generator().manual_seed(0)

    def perturb(part: str) -> None:
        for name, value in model.state_dict().items():
            if part in name and value.is_floating_point():
                value.mul_(1 + 0.2 * torch.rand(value.shape, generator=generator))
                value.add_(0.01 * torch.rand(value.shape, generator=generator))

    for name, value in model.named_parameters():
        if name.endswith(("layer_scale", "gamma")):
            value.fill_(0.5)
    perturb("")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()(torch.randn(4, 3, 64, 64, generator=generator))  # statistics that keep the activations small
    perturb("running_")
    return model.eval()


@pytest.mark.parametrize(("size", "step"), ENDS)
@torch.no_grad()
def test_outputs_equal_torchvisions(size, step):
    reference = perturbed(ENDS[size, step]())
    model = build(roadmap(size)[step]).eval()
    load(model, reference.state_dict(), "torchvision")
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected, outputs = reference(images), model(images)
    assert expected.std() > 0.01  # alive
    assert (outputs - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(("size", "step"), ENDS)
def test_export_gives_torchvisions_checkpoint_back(size, step):
    reference = perturbed(ENDS[size, step]())
    model = build(roadmap(size)[step])
    load(model, reference.state_dict(), "torchvision")
    exported = export(model)
    reference_state = reference.state_dict()
    assert sorted(exported) == sorted(reference_state)
    assert all(torch.equal(exported[name], value) for name, value in reference_state.items())
    ENDS[size, step]().load_state_dict(exported)


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
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class OfficialConvNeXt(nn.Module):
    """ConvNeXt with the parameter names of the paper's repository."""

    def __init__(self, depths, widths) -> None:
        super().__init__()
        norms = [ChannelsFirstNorm(width, eps=1e-6) for width in widths]
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelsFirstNorm(widths[0], eps=1e-6))
        between = [nn.Sequential(norms[i], nn.Conv2d(widths[i], widths[i + 1], 2, 2)) for i in range(3)]
        self.downsample_layers = nn.ModuleList([stem, *between])
        stages = [nn.Sequential(*[OfficialBlock(widths[i]) for _ in range(depths[i])]) for i in range(4)]
        self.stages = nn.ModuleList(stages)
        self.norm = nn.LayerNorm(widths[3], eps=1e-6)
        self.head = nn.Linear(widths[3], 1000)

    def forward(self, x):
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return self.head(self.norm(x.mean([2, 3])))


@pytest.mark.parametrize("size", ["t", "b"])
@torch.no_grad()
def test_official_checkpoints_load_wrapped_or_not(size):
    spec = roadmap(size)["convnext"]
    reference = perturbed(OfficialConvNeXt(spec.depths, [spec.width * 2**i for i in range(4)]))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = reference(images)
    for checkpoint in (reference.state_dict(), {"model": reference.state_dict()}):
        model = build(spec).eval()
        load(model, checkpoint, "official")
        assert (model(images) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_authors_resnet_goes_by_torchvisions_names():
    reference = torchvision.models.resnet50()
    model = build(roadmap("t")["resnet50"])
    load(model, reference.state_dict(), "official")
    assert torch.equal(model.classifier.weight, reference.fc.weight)


def test_a_checkpoint_that_does_not_fit_names_the_first_keys_and_changes_nothing():
    model = build(roadmap("t")["convnext"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    checkpoint = export(model)
    del checkpoint["features.0.0.weight"]
    checkpoint["features.9.weight"] = torch.ones(1)
    checkpoint["classifier.2.bias"] = torch.ones(10)
    with pytest.raises(ValueError, match="does not fit") as caught:
        load(model, checkpoint, "torchvision")
    message = str(caught.value)
    assert "missing: features.0.0.weight;" in message
    assert "unknown: features.9.weight;" in message
    assert "of another shape: classifier.2.bias (10,) instead of (1000,)" in message
    with pytest.raises(ValueError, match=r"missing: conv1.weight, bn1.weight, .* and \d+ more"):
        load(build(roadmap("t")["resnet50"]), checkpoint, "torchvision")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_an_old_checkpoint_without_batch_counters_loads():
    reference = torchvision.models.resnet50().state_dict()
    old = {name: value for name, value in reference.items() if not name.endswith("num_batches_tracked")}
    load(build(roadmap("t")["resnet50"]), old, "torchvision")


@pytest.mark.parametrize("step", ["gelu", "separate_downsampling"])
def test_a_network_between_the_ends_has_no_checkpoint(step):
    with pytest.raises(ValueError, match="only the two ends"):
        load(build(roadmap("t")[step]), {}, "torchvision")


def test_another_source_is_refused():
    with pytest.raises(ValueError, match="source must be one of torchvision, official, got 'timm'"):
        load(build(roadmap("t")["convnext"]), {}, "timm")
