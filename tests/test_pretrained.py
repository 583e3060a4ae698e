"""Both ends of the roadmap are torchvision's networks, weight for weight."""

import pytest
import torch
import torchvision

from modernet import build, roadmap
from modernet.pretrained import export, load

ENDS = {
    ("t", "resnet50"): torchvision.models.resnet50,
    ("t", "convnext"): torchvision.models.convnext_tiny,
    ("b", "convnext"): torchvision.models.convnext_base,
}


@torch.no_grad()
def perturbed(model: torch.nn.Module) -> torch.nn.Module:
    """Every parameter and statistic away from where it starts, so that none can be forgotten unseen."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            if name.endswith("layer_scale"):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
            else:
                value.mul_(1 + 0.2 * torch.rand(value.shape, generator=generator))
                value.add_(0.01 * torch.rand(value.shape, generator=generator))
    return model.eval()


@pytest.mark.parametrize(("size", "step"), ENDS)
@torch.no_grad()
def test_outputs_equal_torchvisions(size, step):
    reference = perturbed(ENDS[size, step]())
    model = build(roadmap(size)[step]).eval()
    load(model, reference.state_dict(), "torchvision")
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    expected, outputs = reference(images), model(images)
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
