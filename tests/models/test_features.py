"""A network as a backbone: features, torchvision's extractor, torch.export."""

import pytest
import torch
from helpers import MAIN_PATH
from torchvision.models.feature_extraction import create_feature_extractor

from modernet import build_model, roadmap

NODES = {"stem": "stem", **{f"stages.{i}": f"stage{i}" for i in range(4)}, "classifier": "logits"}
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def images(layout: torch.memory_format = torch.contiguous_format) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 64, 64, generator=generator).contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("step", MAIN_PATH)
@torch.no_grad()
def test_feature_extractor_returns_stages_and_logits_of_every_step(step, layout):
    model = build_model(roadmap("micro")[step], 10, drop_path_rate=0.1).eval()
    model.to(memory_format=layout)  # pyright: ignore
    outputs = create_feature_extractor(model, NODES)(images(layout))
    features = model.forward_features(images(layout))
    assert features.shape == (2, model.classifier.in_features, 2, 2)
    assert [outputs[f"stage{i}"].shape[2] for i in range(4)] == [16, 8, 4, 2]
    assert torch.equal(outputs["stage3"], features)
    assert torch.equal(outputs["logits"], model(images(layout)))


@torch.no_grad()
def test_extracted_backbone_trains_and_computes_logits_in_float32_under_autocast():
    model = build_model(roadmap("micro")["convnext"], 10, drop_path_rate=0.1)
    extractor = create_feature_extractor(model, NODES).train()
    with torch.autocast("cpu", torch.bfloat16):
        outputs, logits = extractor(images()), model(images())
    assert outputs["stage3"].dtype is torch.float32  # the residual sum
    assert outputs["logits"].dtype is logits.dtype is torch.float32


@pytest.mark.parametrize("step", [pytest.param(step, marks=pytest.mark.slow) for step in MAIN_PATH[:-1]] + ["convnext"])
@torch.no_grad()
def test_torch_export_keeps_the_outputs(step):
    model = build_model(roadmap("micro")[step], 10).eval()
    exported = torch.export.export(model, (images(),)).module()
    assert torch.allclose(exported(images()), model(images()), atol=1e-6)
