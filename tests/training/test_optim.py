"""The learning rate is a function of the step, and what is decayed follows the recipe."""

from math import cos, pi

import pytest
import torch
from helpers import recipe_config
from torch import nn

from modernet import build
from modernet import roadmap
from modernet.training.optim import lr_at, make_optimizer, parameter_groups


@pytest.mark.parametrize(
    ("step", "lr"),
    [(0, 0.1), (9, 1.0), (10, 1.0), (60, 0.505), (110, 0.01)],
)
def test_warmup_is_linear_and_cosine_ends_at_the_floor(step, lr):
    assert lr_at(step, total=110, warmup=10, peak=1.0, floor=0.01) == pytest.approx(lr)


def test_cosine_between_its_ends():
    assert lr_at(35, total=100, warmup=10, peak=2.0) == pytest.approx(1 + cos(pi * 25 / 90))


@pytest.mark.parametrize(("epoch", "lr"), [(0, 0.1), (29, 0.1), (30, 0.01), (59, 0.01), (60, 0.001), (89, 0.001)])
def test_the_classic_schedule_drops_every_thirty_of_ninety_epochs(epoch, lr):
    assert lr_at(epoch, total=90, warmup=0, peak=0.1, schedule="step") == pytest.approx(lr)


def test_the_peak_scales_with_the_batch():
    assert recipe_config("modern").peak_lr == pytest.approx(4e-3)
    assert recipe_config("modern", batch_size=1024).peak_lr == pytest.approx(1e-3)


@pytest.mark.parametrize("step", roadmap("micro"))
def test_biases_norms_and_layer_scale_are_decayed_by_the_classic_recipe_alone(step):
    model = build(roadmap("micro")[step], 10)
    plain = {
        id(parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if name != "weight" or not isinstance(module, nn.Conv2d | nn.Linear)
    }
    decayed, spared = parameter_groups(model, 0.05, decay_norm_and_bias=False)
    assert {id(parameter) for parameter in spared["params"]} == plain
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))
    assert parameter_groups(model, 1e-4, decay_norm_and_bias=True)[1]["weight_decay"] == 1e-4


def test_recipes_name_their_optimizers():
    model = nn.Linear(2, 2)
    sgd, adamw = make_optimizer(model, recipe_config("classic")), make_optimizer(model, recipe_config("modern"))
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.defaults["momentum"] == 0.9
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.defaults["betas"] == (0.9, 0.999)
