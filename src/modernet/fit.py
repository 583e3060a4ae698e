"""Training: fit is epochs of train_epoch, each followed by evaluate."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modernet import checkpoint
from modernet.data import Loader
from modernet.errors import Stopped, UserError
from modernet.model import smallest_image
from modernet.place import Place
from modernet.progress import Progress, Watch
from modernet.rng import Purpose, seed_all
from modernet.spec import DataSpec, ModelSpec, Recipe
from modernet.stop import Stop
from modernet.together import agree, share_buffers
from modernet.training import Epoch, Meter, Plan, Scores, Training

T = TypeVar("T")
NOTHING, SAVE, STOP, FAIL = range(4)  # what a process wishes after a step; the largest wish of all is done


class Diverged(Exception):
    """The loss is no longer a finite number."""


class Keeper:
    """Saves a training every few minutes, and when it is asked to stop; ends it when its loss is no number."""

    def __init__(self, folder: Path, minutes: float, place: Place, stop: Stop, more: dict[str, Any]) -> None:
        self.folder, self.seconds, self.place, self.stop, self.more = folder, 60 * minutes, place, stop, more
        self.saved = time.monotonic()

    def after_step(self, training: Training, watch: Watch) -> bool:
        """Whether it was saved. Raises Stopped where it was asked to stop, Diverged for a loss that is no number."""
        due = self.place.first and time.monotonic() - self.saved >= self.seconds
        wish = agree(self.place, FAIL if watch.bad else STOP if self.stop.asked else SAVE if due else NOTHING)
        if wish == NOTHING:
            return False
        watch.take(wait=True)
        if agree(self.place, int(watch.bad is not None)):
            bad = watch.bad
            where = (
                f"of step {bad.step} is not finite, at learning rate {bad.lr:.3g}" if bad else "elsewhere is not finite"
            )
            raise self._diverged(f"the loss {where}")
        training.meter.gather(self.place)
        self._save(training)
        if wish == STOP:
            raise Stopped(self._how())
        return True

    def guarded(self, batches: Iterable[T], training: Training) -> Iterator[T]:
        """The batches of an evaluation, until somebody asks to stop."""
        for batch in batches:
            if self.stop.asked:
                self._save(training)
                raise Stopped(self._how())
            yield batch

    def _save(self, training: Training) -> None:
        # A gradient that overflows breaks the weights of every process a step before a loss tells.
        if not all(bool(value.isfinite().all()) for value in training.model.state_dict().values()):
            raise self._diverged(f"the weights after step {training.step} are not finite")
        if self.place.first:
            checkpoint.save(self.folder, training.step, training.state() | self.more)
        self.saved = time.monotonic()

    def checked(self, scores: Scores) -> Scores:
        """Scores that are numbers: those after the last step are all that tells of its weights."""
        if not isfinite(scores.loss):
            raise self._diverged("the loss of the evaluation is not finite")
        return scores

    def _diverged(self, what: str) -> Diverged:
        return Diverged(f"{what}; the last good checkpoint: {checkpoint.last(self.folder) or 'none'}")

    def _how(self) -> str:
        saved = checkpoint.last(self.folder)
        return f"stopped by {self.stop.asked or 'another process'}; the same command goes on from {saved}"


@torch.no_grad()
def evaluate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], place: Place, autocast: Callable = nullcontext
) -> Scores:
    """Score every image of all processes' batches; cross-entropy without label smoothing."""
    model.eval()
    meter = Meter(next(model.parameters()).device)
    for images, labels in batches:
        with autocast():
            logits = model(images)
        meter.add(F.cross_entropy(logits.float(), labels), logits, labels)
    return meter.read(place)


def train_epoch(training: Training, loader: Loader, plan: Plan, keeper: Keeper, progress: Progress) -> Scores:
    """What is left of an epoch, stepping by the plan."""
    share, recipe, watch = plan.share, plan.recipe, Watch()
    epoch = len(training.epochs)
    end = (epoch + 1) * plan.steps
    batches = loader.training(epoch, training.step - epoch * plan.steps)
    training.model.train()
    began = time.perf_counter()
    while training.step < end:
        lr = plan.lr(training.step)
        for group in training.optimizer.param_groups:
            group["lr"] = lr
        for number in range(share.passes):
            images, labels = next(batches)
            seed_all(plan.seed, Purpose.NETWORK, training.step, share.place.rank, number)
            with nullcontext() if number == share.passes - 1 else training.apart():
                with training.autocast():
                    logits = training.forward(images)
                loss = F.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
                (loss / share.passes).backward()
            training.meter.add(loss.detach(), logits.detach(), labels)
        training.optimizer.step()
        training.optimizer.zero_grad()
        if training.average:
            training.average.update_parameters(training.model)
        training.step += 1

        watch.put(training.step, lr, training.meter.sums)
        watch.take(wait=training.step == end)
        progress.step(training.step, watch.loss, watch.top1)
        now = time.perf_counter()
        training.seconds += now - began
        saved = keeper.after_step(training, watch)
        began = time.perf_counter() if saved else now  # saving is not training
    return training.meter.read(share.place)


def check(model: ModelSpec, recipe: Recipe, data: DataSpec, images: int) -> None:
    """Raise UserError where these values, each allowed by itself, do not go together."""
    smallest = smallest_image(model)
    if data.image_size < smallest:
        raise UserError(
            f"model.stem_stride={model.stem_stride} with model.downsample={model.downsample} needs images of at least "
            f"{smallest} pixels, {data.name} has {data.image_size}; a smaller model.stem_stride (4, 2, 1) allows them"
        )
    if recipe.batch_size > images:
        raise UserError(f"recipe.batch_size must be at most {images}, the images to train on, got {recipe.batch_size}")


def fit(training: Training, loader: Loader, plan: Plan, keeper: Keeper) -> Iterator[Epoch]:
    """Train in place from where `training` is, and yield every epoch when it is over.

    The same seed gives the same run, whatever ran before and however often it was stopped.
    """
    place, recipe = plan.share.place, plan.recipe
    progress = Progress(recipe.epochs, plan.steps, recipe.batch_size, training.step, shown=place.first)
    try:
        while len(training.epochs) < recipe.epochs:
            trained = train_epoch(training, loader, plan, keeper, progress)
            training.meter.gather(place)  # a signal during the evaluation finds it as rank 0 has to save it

            def scores(model: nn.Module) -> Scores:
                share_buffers(place, model)
                return evaluate(model, keeper.guarded(loader.evaluation(), training), place, training.autocast)

            plain = keeper.checked(scores(training.model))
            averaged = scores(training.average) if training.average else None
            training.epochs.append(
                Epoch(
                    epoch=len(training.epochs) + 1,
                    lr=plan.lr(training.step - 1),
                    train_loss=trained.loss,
                    train_top1=trained.top1,
                    val_loss=plain.loss,
                    top1=plain.top1,
                    top5=plain.top5,
                    top1_ema=averaged.top1 if averaged else None,
                    train_seconds=training.seconds,
                    images_per_second=plan.steps * recipe.batch_size / training.seconds,
                )
            )
            training.meter, training.seconds = Meter(training.device), 0.0
            yield training.epochs[-1]
    finally:
        progress.close()
