"""The training loop: it learns, counts every image once, and a seed determines the run."""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F
from helpers import execution_config, random_images, ready_trainer, short_experiment, train_short
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from modernet import build_model, roadmap
from modernet.data.file_batches import Stopwatch
from modernet.errors import NonFiniteLoss
from modernet.record import Epoch
from modernet.runtime.distributed import DistributedEnv
from modernet.training.loop import evaluate
from modernet.training.trainer import Trainer

pytestmark = pytest.mark.xdist_group("training loop")  # one process trains each of the compared runs once

Train = Callable[..., tuple[Trainer, list[Epoch]]]
# Four steps of 64 images; no random flips and crops, which each micro-batch draws.
FOUR_STEPS = random_images(256, flip=False, crop_padding=0)


@pytest.fixture(scope="module")
def train(tmp_path_factory) -> Train:
    """`train_short` for one epoch of four steps; the same arguments return the same run. Tests do not change it."""

    @cache
    def call(**changes):
        return train_short(tmp_path_factory.mktemp("run"), data=FOUR_STEPS, **{"epochs": 1, **changes})

    return call


def test_metrics_equal_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(230, 10, generator=generator), torch.randint(10, (230,), generator=generator)
    batches = zip(logits.split(64), labels.split(64), strict=True)
    model = torch.nn.Linear(10, 10)
    torch.nn.init.eye_(model.weight)
    torch.nn.init.zeros_(model.bias)
    metrics = evaluate(model, batches, DistributedEnv())
    probabilities = F.softmax(logits.double(), 1).numpy()
    assert metrics.top1 == pytest.approx(100 * accuracy_score(labels, logits.argmax(1)))
    assert metrics.top5 == pytest.approx(100 * top_k_accuracy_score(labels, logits, k=5))
    assert metrics.loss == pytest.approx(log_loss(labels, probabilities), rel=1e-6)


def test_evaluation_does_not_change_the_network():
    model = build_model(roadmap("micro")["gelu"], 10)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randn(100, 3, 8, 8)
    evaluate(model, [(images, torch.zeros(100, dtype=torch.int64))], DistributedEnv())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_training_reduces_the_loss(tmp_path):
    _, epochs = train_short(tmp_path)
    assert epochs[1].train_loss < epochs[0].train_loss
    assert epochs[1].top1 > 50


def test_seed_determines_the_run_whatever_was_drawn_before(train, tmp_path):
    trainer, epochs = train()
    torch.rand(5)
    again, epochs2 = train_short(tmp_path, data=FOUR_STEPS, epochs=1)
    states = [one.state.model.state_dict().values() for one in (trainer, again)]
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    assert epochs[0].train_loss == epochs2[0].train_loss
    other, _ = train(seed=2)
    assert not torch.equal(trainer.state.model.classifier.weight, other.state.model.classifier.weight)


def test_label_smoothing_and_drop_path_change_the_training(train):
    losses = [train(**changes)[1][0].train_loss for changes in ({}, {"label_smoothing": 0.3}, {"drop_path_rate": 0.5})]
    assert len(set(losses)) == 3


def test_non_finite_loss_stops_the_run_with_its_step_and_lr(tmp_path):
    message = r"step 2 is not finite, at learning rate 9\.09e\+28; last good checkpoint: none"
    with pytest.raises(NonFiniteLoss, match=message):
        train_short(tmp_path, lr=1e30)


def test_gradient_accumulation_equals_one_large_batch(train):
    """Exactly so for a network without BatchNorm."""
    whole, (epoch,) = train(drop_path_rate=0.0)
    parts, (epoch2,) = train(drop_path_rate=0.0, micro_batch_size=16)
    assert parts.plan.layout.grad_accum_steps == 4
    assert epoch2.train_loss == pytest.approx(epoch.train_loss, rel=1e-5)
    for a, b in zip(whole.state.model.parameters(), parts.state.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_data_wait_is_the_part_of_an_epoch_spent_waiting_for_batches(tmp_path, monkeypatch):
    """By a clock that a batch moves on by three seconds and a forward pass by one."""
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def advance(seconds: float) -> None:
        clock[0] += seconds

    with ready_trainer(tmp_path, short_experiment(data=FOUR_STEPS, epochs=1)) as trainer:
        loader = trainer.loader

        def slow_batches(epoch: int, first_step: int) -> Iterator[object]:
            for batch in loader.train_batches(epoch, first_step):
                advance(3.0)
                yield batch

        kept = {"eval_batches": loader.eval_batches, "skipped": loader.skipped}
        trainer.loader = Mock(loader, train_batches=slow_batches, **kept)
        trainer.state.model.register_forward_pre_hook(lambda *_: advance(1.0))
        (epoch,) = trainer.epochs()
    assert epoch.metrics["data_wait"] == pytest.approx(75.0)
    assert epoch.train_seconds == pytest.approx(16.0)


def test_stopwatch_counts_the_time_until_an_item_is_there(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def slow_items() -> Iterator[int]:
        for item in range(3):
            clock[0] += 2.0
            yield item

    stopwatch = Stopwatch()
    for _ in stopwatch.time(slow_items()):
        clock[0] += 5.0
    assert stopwatch.take() == 6.0
    assert stopwatch.take() == 0.0


def test_ema_is_the_exponential_average_of_the_weights(train):
    decay, history = 0.9, []

    def remember(optimizer: torch.optim.Optimizer, *_: object) -> None:
        history.append([p.detach().clone() for group in optimizer.param_groups for p in group["params"]])

    hook = register_optimizer_step_post_hook(remember)
    trainer, (epoch,) = train(ema_decay=decay)
    hook.remove()
    average, *later = history
    for parameters in later:
        average = [decay * mean + (1 - decay) * p for mean, p in zip(average, parameters, strict=True)]
    state = trainer.state
    assert state.ema_model is not None
    names = {id(parameter): name for name, parameter in state.model.named_parameters()}
    order = [names[id(parameter)] for group in state.optimizer.param_groups for parameter in group["params"]]
    expected = dict(zip(order, average, strict=True))
    for name, parameter in state.ema_model.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=1e-5, atol=1e-7)
    assert epoch.top1_ema is not None
    assert train()[1][0].top1_ema is None


def test_bf16_changes_the_loss_by_rounding_only(train):
    plain, bf16 = (train(execution=execution_config(amp=amp))[1][0].train_loss for amp in ("off", "bf16"))
    assert bf16 != plain
    assert bf16 == pytest.approx(plain, rel=0.01)


def test_channels_last_changes_the_loss_by_rounding_only(train):
    losses = [train(execution=execution_config(channels_last=value))[1][0].train_loss for value in (True, False)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_every_network_of_a_sweep_is_compiled(tmp_path, monkeypatch):
    """Dynamo gives up silently at its limit of graphs of one function; here it raises, and one network reaches it."""
    compile_ = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda module, options: compile_(module, backend="eager"))
    # Two graphs: those of training and of evaluation. monkeypatch cannot undo a change of torch's config modules.
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True, recompile_limit=2):
        for step in ("patchify_stem", "invert_bottleneck"):
            experiment = short_experiment(step, data=FOUR_STEPS, depths=(1, 1, 1, 1), epochs=1)
            with ready_trainer(tmp_path / step, experiment, execution_config(compile="on")) as trainer:
                list(trainer.epochs())


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch 2.11 compiles with parts it has deprecated
def test_compiled_model_changes_the_loss_by_rounding_only(train):
    _, plain = train(depths=(1, 1, 1, 1))
    trainer, compiled = train(depths=(1, 1, 1, 1), execution=execution_config(compile="on"))
    assert compiled[0].train_loss == pytest.approx(plain[0].train_loss, rel=1e-4)
    state = trainer.state
    assert list(state.state_dict()["model"]) == list(state.model.state_dict())  # the names of the plain network
