"""The optimizer: its learning rate is a function of the step, its parameter groups follow the recipe."""

from math import cos, pi

import pytest
import torch
from helpers import recipe_config
from timm.optim.lamb import Lamb
from torch import nn

from modernet import build_model, roadmap
from modernet.runtime.distributed import DistributedEnv, batch_layout
from modernet.training.optim import build_optimizer, lr_at, parameter_groups
from modernet.training.state import TrainPlan


@pytest.mark.parametrize(
    ("step", "lr"),
    [(0, 0.1), (9, 1.0), (10, 1.0), (60, 0.505), (110, 0.01)],
)
def test_warmup_is_linear_and_cosine_ends_at_min_lr(step, lr):
    assert lr_at(step, total_steps=110, warmup_steps=10, peak=1.0, min_lr=0.01) == pytest.approx(lr)


def test_cosine_schedule_between_its_ends():
    assert lr_at(35, total_steps=100, warmup_steps=10, peak=2.0) == pytest.approx(1 + cos(pi * 25 / 90))


@pytest.mark.parametrize(("epoch", "lr"), [(0, 0.1), (29, 0.1), (30, 0.01), (59, 0.01), (60, 0.001), (89, 0.001)])
def test_step_schedule_drops_every_30_of_90_epochs(epoch, lr):
    assert lr_at(epoch, total_steps=90, warmup_steps=0, peak=0.1, schedule="step") == pytest.approx(lr)


def test_lr_scales_linearly_with_batch_size():
    assert recipe_config("modern").peak_lr == pytest.approx(4e-3)
    assert recipe_config("modern", batch_size=1024).peak_lr == pytest.approx(1e-3)


def test_train_plan_takes_the_lr_from_the_recipe():
    recipe = recipe_config("modern", epochs=10, warmup_epochs=2, batch_size=4096)
    plan = TrainPlan(recipe, steps_per_epoch=5, seed=0, layout=batch_layout(DistributedEnv(), 4096, None))
    assert [plan.lr(step) for step in (0, 9, 10)] == pytest.approx([4e-4, 4e-3, 4e-3])
    assert plan.lr(plan.total_steps - 1) < 1e-4


@pytest.mark.parametrize("step", roadmap("micro"))
def test_weight_decay_excludes_biases_norms_and_layer_scale_unless_the_recipe_decays_them(step):
    model = build_model(roadmap("micro")[step], 10)
    expected = {
        id(parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if name != "weight" or not isinstance(module, nn.Conv2d | nn.Linear)
    }
    decayed, not_decayed = parameter_groups(model, 0.05, decay_norm_and_bias=False)
    assert {id(parameter) for parameter in not_decayed["params"]} == expected
    assert (decayed["weight_decay"], not_decayed["weight_decay"]) == (0.05, 0.0)
    assert len(decayed["params"]) + len(not_decayed["params"]) == len(list(model.parameters()))
    assert parameter_groups(model, 1e-4, decay_norm_and_bias=True)[1]["weight_decay"] == 1e-4


def test_lamb_is_timms_with_two_groups_and_the_recipes_values():
    optimizer = build_optimizer(build_model(roadmap("micro")["grn"], 10), recipe_config("a3"))
    assert isinstance(optimizer, Lamb)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.02, 0.0]
    assert {(group["lr"], group["betas"]) for group in optimizer.param_groups} == {(8e-3, (0.9, 0.999))}


def test_optimizer_and_its_hyperparameters_come_from_the_recipe():
    model = nn.Linear(2, 2)
    sgd, adamw = build_optimizer(model, recipe_config("classic")), build_optimizer(model, recipe_config("modern"))
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.defaults["momentum"] == 0.9
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.defaults["betas"] == (0.9, 0.999)
    assert adamw.defaults["eps"] == 1e-8  # authors' code
    assert not sgd.defaults["nesterov"]
