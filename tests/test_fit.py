"""Training learns, counts every image, and is the same run for the same seed."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score
from test_data import spec
from test_optim import recipe

from modernet import build, data, roadmap
from modernet.errors import UserError
from modernet.fit import Diverged, Plan, check, evaluate, fit
from modernet.model import initialize

SMALL = {"epochs": 2, "batch_size": 64, "warmup_epochs": 1, "lr": 4e-3, "lr_batch": 64, "init": "torch"}


def train(seed: int = 0, changes: dict | None = None):
    """Two epochs of ConvNeXt on digits; every change of Recipe's fields can be asked for."""
    how, like = recipe("modern", **{**SMALL, **(changes or {})}), spec("digits")
    torch.manual_seed(0)
    model = build(replace(roadmap("micro")["convnext"], stem_stride=1), 10, how.stochastic_depth)
    initialize(model, how.init, how.init_std)
    torch.rand(seed + 1)  # the global state before is no part of the run
    train_set, test_set = data.load(like)
    return model, list(fit(model, train_set, test_set, how, like, seed))


def test_scores_are_those_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(230, 10, generator=generator), torch.randint(10, (230,), generator=generator)
    batches = zip(logits.split(64), labels.split(64), strict=True)
    model = torch.nn.Linear(10, 10)
    torch.nn.init.eye_(model.weight)
    torch.nn.init.zeros_(model.bias)
    scores = evaluate(model, batches)
    probabilities = F.softmax(logits.double(), 1).numpy()
    assert scores.top1 == pytest.approx(100 * accuracy_score(labels, logits.argmax(1)))
    assert scores.top5 == pytest.approx(100 * top_k_accuracy_score(labels, logits, k=5))
    assert scores.loss == pytest.approx(log_loss(labels, probabilities), rel=1e-6)


def test_evaluation_does_not_change_the_network():
    model = build(roadmap("micro")["gelu"], 10)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    _, test_set = data.load(spec("digits"))
    evaluate(model, data.evaluation_batches(test_set, spec("digits"), 100))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_same_seed_is_the_same_run_whatever_was_drawn_before():
    (model, epochs), (again, _) = train(seed=1), train(seed=1)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert epochs[1].train_loss < epochs[0].train_loss
    other, _ = train(seed=2)
    assert not torch.equal(model.classifier.weight, other.classifier.weight)


def test_label_smoothing_and_stochastic_depth_take_part():
    _, plain = train(changes={"label_smoothing": 0.0, "stochastic_depth": 0.0})
    for change in (
        {"label_smoothing": 0.3, "stochastic_depth": 0.0},
        {"label_smoothing": 0.0, "stochastic_depth": 0.5},
    ):
        assert train(changes=change)[1][0].train_loss != plain[0].train_loss


def test_the_plan_follows_the_recipe():
    plan = Plan(recipe("modern", epochs=10, warmup_epochs=2, batch_size=4096), steps=5, seed=0)
    assert [plan.lr(step) for step in (0, 9, 10)] == pytest.approx([4e-4, 4e-3, 4e-3])
    assert plan.lr(49) < 1e-4


def test_a_loss_that_is_no_number_stops_the_run():
    with pytest.raises(Diverged, match="loss of epoch 1 is nan"):
        train(changes={"lr": 1e30})


def test_values_that_do_not_go_together_are_refused():
    how, like = recipe("modern", batch_size=64), spec("digits")
    with pytest.raises(UserError, match="needs images of at least 32 pixels, digits has 8"):
        check(roadmap("micro")["convnext"], how, like, 1437)
    with pytest.raises(UserError, match="batch_size must be at most 50, the images to train on, got 64"):
        check(roadmap("micro")["resnet50"], how, like, 50)
