"""The training loop: `fit` alternates `train_epoch` and `evaluate`."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modernet.data.loader import Loader
from modernet.record import Epoch
from modernet.runtime.collectives import broadcast_buffers
from modernet.runtime.distributed import DistributedEnv
from modernet.runtime.seeding import Purpose, seed_everything
from modernet.training.checkpoint import CheckpointManager
from modernet.training.losses import training_loss
from modernet.training.metrics import EvalMetrics, LossMonitor, MetricSums, count_skipped, measure_resources
from modernet.training.progress import Progress
from modernet.training.state import TrainPlan, TrainState
from modernet.training.steps import StepMonitor


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    env: DistributedEnv,
    autocast: Callable[[], Any] = nullcontext,
    take_skipped: Callable[[], int] = int,
) -> EvalMetrics:
    """Metrics over the batches of all ranks; cross-entropy without label smoothing.

    Batches are images (N, 3, H, W) and labels (N,) on the model's device. `take_skipped` returns the number of damaged
    images that they lack, which count as wrong and have no loss. Raises UserError where every image is damaged.
    """
    model.eval()
    metrics = MetricSums(next(model.parameters()).device, env)
    for images, labels in batches:
        with autocast():
            logits = model(images)  # (N, num_classes)
        metrics.update(F.cross_entropy(logits.float(), labels), logits, labels)
    metrics.skip(take_skipped())
    return metrics.compute(skipped_are_wrong=True)


def train_epoch(
    state: TrainState,
    loader: Loader,
    plan: TrainPlan,
    checkpoints: CheckpointManager,
    progress: Progress,
    monitor: StepMonitor,
) -> EvalMetrics:
    """Train the remaining steps of the running epoch; metrics of its augmented images."""
    layout, recipe, losses = plan.layout, plan.recipe, LossMonitor(monitor.read)
    epoch = len(state.epochs)
    micro_batches = layout.micro_batches()
    last_step = (epoch + 1) * plan.steps_per_epoch
    batches = loader.train_batches(epoch, first_step=state.step - epoch * plan.steps_per_epoch)
    state.model.train()
    loader.fetching.take()  # that of the last evaluation
    started = time.perf_counter()
    while state.step < last_step:
        for micro_batch in micro_batches:
            asked = time.perf_counter()
            images, labels = next(batches)
            # A device augments the batch itself, and launching that may wait for earlier work: only the CPU counts all.
            fetched = loader.fetching.take()
            state.data_seconds += time.perf_counter() - asked if state.device.type == "cpu" else fetched
            seed_everything(plan.seed, Purpose.NETWORK, state.step, 0, micro_batch.number)
            state.set_running_statistics(enabled=micro_batch.number == 0)
            is_last = micro_batch is micro_batches[-1]
            with state.grad_sync(enabled=is_last):
                with state.autocast():
                    logits = state.train_model(images)  # (N, num_classes)
                loss = training_loss(logits.float(), labels, recipe)
                (loss / layout.grad_accum_steps).backward()
            state.train_metrics.update(loss.detach(), logits.detach(), labels)
            state.train_metrics.skip(loader.skipped.take())
        lr = plan.lr(state.step)
        monitor.before_update(state)
        state.apply_update(lr)

        monitor.after_update(state, lr, state.train_seconds + time.perf_counter() - started)
        losses.record(state.step, lr, state.train_metrics.sums)
        losses.read(wait=state.step == last_step)
        progress.update(state.step, losses.loss, losses.top1)
        now = time.perf_counter()
        state.train_seconds += now - started
        saved = checkpoints.after_step(state, losses)
        started = time.perf_counter() if saved else now  # time spent saving does not count
    return state.train_metrics.compute()


def evaluate_epoch(
    model: nn.Module, state: TrainState, loader: Loader, plan: TrainPlan, checkpoints: CheckpointManager
) -> EvalMetrics:
    """Evaluate the network, or its averaged weights, on the evaluated split."""
    broadcast_buffers(model)
    batches = checkpoints.interruptible(loader.eval_batches(), state)
    return evaluate(model, batches, plan.layout.env, state.autocast, loader.skipped.take)


def fit(
    state: TrainState, loader: Loader, plan: TrainPlan, checkpoints: CheckpointManager, monitor: StepMonitor
) -> Iterator[Epoch]:
    """Train from `state` to the last epoch, in place, and yield every epoch's metrics when it ends.

    A seed determines the run, whatever ran before and however often it was interrupted.
    """
    recipe = plan.recipe
    with Progress(recipe, plan.steps_per_epoch, state.step, plan.layout.env) as progress:
        while len(state.epochs) < recipe.epochs:
            train = train_epoch(state, loader, plan, checkpoints, progress, monitor)
            state.train_metrics.gather()  # a signal during the evaluation makes rank 0 save them
            plain = checkpoints.check_finite(evaluate_epoch(state.model, state, loader, plan, checkpoints))
            ema = evaluate_epoch(state.ema_model, state, loader, plan, checkpoints) if state.ema_model else None
            epoch = Epoch(
                epoch=len(state.epochs) + 1,
                lr=plan.lr(state.step - 1),
                train_loss=train.loss,
                train_top1=train.top1,
                val_loss=plain.loss,
                top1=plain.top1,
                top5=plain.top5,
                top1_ema=ema.top1 if ema else None,
                train_seconds=state.train_seconds,
                images_per_second=plan.steps_per_epoch * recipe.batch_size / state.train_seconds,
                metrics=measure_resources(state.device, state.train_seconds, state.data_seconds)
                | count_skipped(train, plain),
            )
            state.finish_epoch(epoch)
            yield epoch
