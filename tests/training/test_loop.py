"""TrainState learns, counts every image, and is the same run for the same seed."""

import shutil

import pytest
import torch
import torch.nn.functional as F
from helpers import data_config, execution_config, recipe_config, train_short
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score
from torch.optim.optimizer import register_optimizer_step_post_hook

from modernet import build
from modernet.training.state import checkpoint
from modernet import roadmap
from modernet.errors import UserError
from modernet.training.loop import Diverged, CheckpointManager, check, evaluate
from modernet.runtime.distributed import DistributedEnv, batch_layout
from modernet.training.progress import LossMonitor
from modernet.runtime.signals import ShutdownSignal
from modernet.training.state import Plan


def test_scores_are_those_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(230, 10, generator=generator), torch.randint(10, (230,), generator=generator)
    batches = zip(logits.split(64), labels.split(64), strict=True)
    model = torch.nn.Linear(10, 10)
    torch.nn.init.eye_(model.weight)
    torch.nn.init.zeros_(model.bias)
    scores = evaluate(model, batches, DistributedEnv())
    probabilities = F.softmax(logits.double(), 1).numpy()
    assert scores.top1 == pytest.approx(100 * accuracy_score(labels, logits.argmax(1)))
    assert scores.top5 == pytest.approx(100 * top_k_accuracy_score(labels, logits, k=5))
    assert scores.loss == pytest.approx(log_loss(labels, probabilities), rel=1e-6)


def test_evaluation_does_not_change_the_network():
    model = build(roadmap("micro")["gelu"], 10)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randn(100, 3, 8, 8)
    evaluate(model, [(images, torch.zeros(100, dtype=torch.int64))], DistributedEnv())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_same_seed_is_the_same_run_whatever_was_drawn_before(tmp_path):
    first, epochs = trained(tmp_path, seed=1)
    torch.rand(5)
    model, again = first.model, trained(tmp_path, seed=1)[0].model
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert epochs[1].train_loss < epochs[0].train_loss
    other = trained(tmp_path, seed=2)[0].model
    assert not torch.equal(model.classifier.weight, other.classifier.weight)


def test_label_smoothing_and_stochastic_depth_take_part(tmp_path):
    _, plain = trained(tmp_path, label_smoothing=0.0, drop_path_rate=0.0)
    smoothed = trained(tmp_path, label_smoothing=0.3, drop_path_rate=0.0)[1]
    shallow = trained(tmp_path, label_smoothing=0.0, drop_path_rate=0.5)[1]
    assert smoothed[0].train_loss != plain[0].train_loss != shallow[0].train_loss


def test_the_plan_follows_the_recipe():
    plan = Plan(
        recipe_config("modern", epochs=10, warmup_epochs=2, batch_size=4096),
        steps=5,
        seed=0,
        share=batch_layout(DistributedEnv(), 4096, None),
    )
    assert [plan.lr(step) for step in (0, 9, 10)] == pytest.approx([4e-4, 4e-3, 4e-3])
    assert plan.lr(49) < 1e-4


def test_a_loss_that_is_no_number_stops_the_run_at_once(tmp_path):
    with pytest.raises(Diverged, match=r"step 2 is not finite, at learning rate 9\.09e\+28; .* checkpoint: none"):
        trained(tmp_path, lr=1e30)


def test_broken_weights_are_never_saved(tmp_path):
    """Though the loss of their step was a number still."""
    training, _ = trained(tmp_path, epochs=1)
    keeper = CheckpointManager(tmp_path, 0, DistributedEnv(), ShutdownSignal(), {})
    assert keeper.after_step(training, LossMonitor())
    good = checkpoint.last(tmp_path)
    with torch.no_grad():
        training.model.classifier.weight[0, 0] = float("inf")
    with pytest.raises(Diverged, match=rf"the weights after step 22.* checkpoint: {good}"):
        keeper.after_step(training, LossMonitor())
    assert checkpoint.last(tmp_path) == good


def test_accumulated_passes_are_one_step(tmp_path):
    """Exactly so for a network without BatchNorm."""
    uncut = data_config("digits", crop_padding=0)  # each pass has draws of its own
    whole, (epoch,) = trained(tmp_path, like=uncut, drop_path_rate=0.0, epochs=1)
    parts, (again,) = trained(tmp_path, how=execution_config(micro_batch_size=16), like=uncut, drop_path_rate=0.0, epochs=1)
    assert again.train_loss == pytest.approx(epoch.train_loss, rel=1e-5)
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_ema_is_the_average_by_hand(tmp_path):
    decay, history = 0.9, []

    def remember(optimizer: torch.optim.Optimizer, *_: object) -> None:
        history.append([p.detach().clone() for group in optimizer.param_groups for p in group["params"]])

    hook = register_optimizer_step_post_hook(remember)
    training, (epoch,) = trained(tmp_path, ema_decay=decay, epochs=1)
    hook.remove()
    average, *later = history
    for parameters in later:
        average = [decay * mean + (1 - decay) * p for mean, p in zip(average, parameters, strict=True)]
    assert training.average is not None
    found = training.average.module
    names = {id(parameter): name for name, parameter in training.model.named_parameters()}
    order = [names[id(parameter)] for group in training.optimizer.param_groups for parameter in group["params"]]
    expected = dict(zip(order, average, strict=True))
    for name, parameter in found.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=1e-5, atol=1e-7)
    assert epoch.top1_ema is not None
    assert trained(tmp_path, epochs=1)[1][0].top1_ema is None


def test_bf16_changes_a_result_by_no_more_than_rounding(tmp_path):
    _, plain = trained(tmp_path)
    _, half = trained(tmp_path, how=execution_config(amp="bf16"))
    assert half[0].train_loss != plain[0].train_loss
    assert half[0].train_loss == pytest.approx(plain[0].train_loss, rel=0.01)


def test_channels_last_changes_a_result_by_no_more_than_rounding(tmp_path):
    _, plain = trained(tmp_path, how=execution_config(channels_last=False))
    _, last = trained(tmp_path)
    assert last[0].train_loss == pytest.approx(plain[0].train_loss, rel=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch 2.11 compiles with parts it has deprecated
def test_compiling_changes_a_result_by_no_more_than_rounding(tmp_path):
    # Without stochastic depth: the compiler draws from a generator of its own.
    _, plain = trained(tmp_path, drop_path_rate=0.0, epochs=1)
    training, compiled = trained(tmp_path, how=execution_config(compile="on"), drop_path_rate=0.0, epochs=1)
    assert compiled[0].train_loss == pytest.approx(plain[0].train_loss, rel=1e-4)
    assert list(training.state()["model"]) == list(training.model.state_dict())  # by the names of the plain network


def test_values_that_do_not_go_together_are_refused():
    how, like = recipe_config("modern", batch_size=64), data_config("digits")
    with pytest.raises(UserError, match="needs images of at least 32 pixels, digits has 8"):
        check(roadmap("micro")["convnext"], how, like, 1437)
    with pytest.raises(UserError, match="batch_size must be at most 50, the images to train on, got 64"):
        check(roadmap("micro")["resnet50"], how, like, 50)
