"""Training: fit is epochs of train_epoch, each followed by evaluate."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim
from tqdm import tqdm

from modernet.data import Batch, Images, evaluation_batches, training_batches
from modernet.errors import UserError
from modernet.model import smallest_image
from modernet.optim import lr_at, make_optimizer
from modernet.rng import Purpose, derive
from modernet.spec import DataSpec, ModelSpec, Recipe

EVALUATION_BATCH = 500  # images; does not change the scores


@dataclass(frozen=True)
class Plan:
    """What every step of a run can be told from its number."""

    recipe: Recipe
    steps: int  # per epoch
    seed: int

    def lr(self, step: int) -> float:
        recipe = self.recipe
        warmup = round(recipe.warmup_epochs * self.steps)
        return lr_at(step, recipe.epochs * self.steps, warmup, recipe.peak_lr, recipe.min_lr, recipe.schedule)


@dataclass(frozen=True)
class Scores:
    """Over all images of a split: mean cross-entropy, and how often the label came first, or among the first five."""

    loss: float
    top1: float  # percent
    top5: float  # percent


class Meter:
    """Sums over batches that stay on the device until they are read."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(4, device=device, dtype=torch.float64)  # images, loss, top-1 hits, top-5 hits

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """`loss` is the batch's mean; `logits` (N, classes), `labels` (N,)."""
        ranked = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]  # (N, 5)
        images = torch.full((), float(len(labels)), device=labels.device)
        self.sums += torch.stack([images, loss * images, ranked[:, 0].sum(), ranked.sum()])

    def read(self) -> Scores:
        images, loss, top1, top5 = self.sums.tolist()
        return Scores(loss / images, 100 * top1 / images, 100 * top5 / images)


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: train_* of the augmented images as trained on, the other scores of the other split."""

    epoch: int  # from 1
    lr: float  # of the last step
    train_loss: float
    train_top1: float
    val_loss: float
    top1: float
    top5: float
    train_seconds: float
    images_per_second: float  # trained, without evaluation

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch}: train loss {self.train_loss:.4f}, train top-1 {self.train_top1:.2f} %, "
            f"top-1 {self.top1:.2f} %, top-5 {self.top5:.2f} %, {self.images_per_second:.0f} images/s"
        )


class Diverged(Exception):
    """The loss is no longer a finite number."""


@torch.no_grad()
def evaluate(model: nn.Module, batches: Iterable[Batch]) -> Scores:
    """Score every image of the batches; cross-entropy without label smoothing."""
    model.eval()
    meter = Meter(next(model.parameters()).device)
    for images, labels in batches:
        logits = model(images)
        meter.add(F.cross_entropy(logits, labels), logits, labels)
    return meter.read()


def train_epoch(
    model: nn.Module, optimizer: optim.Optimizer, batches: Iterable[Batch], plan: Plan, epoch: int, bar: tqdm
) -> Scores:
    """One pass over the batches, stepping `optimizer` by the plan."""
    model.train()
    meter = Meter(next(model.parameters()).device)
    for step, (images, labels) in enumerate(batches, epoch * plan.steps):
        torch.manual_seed(derive(plan.seed, Purpose.NETWORK, step))
        for group in optimizer.param_groups:
            group["lr"] = plan.lr(step)
        logits = model(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=plan.recipe.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        meter.add(loss.detach(), logits.detach(), labels)
        if bar.update(len(labels)):  # the bar redraws now: only then is the device waited for
            scores = meter.read()
            bar.set_postfix(loss=f"{scores.loss:.3f}", top1=f"{scores.top1:.1f}%", refresh=False)
    return meter.read()


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


def fit(model: nn.Module, train: Images, test: Images, recipe: Recipe, data: DataSpec, seed: int) -> Iterator[Epoch]:
    """Train in place and yield every epoch when it is over. The same seed gives the same run, whatever ran before."""
    plan = Plan(recipe, steps=len(train) // recipe.batch_size, seed=seed)
    optimizer = make_optimizer(model, recipe)
    images = plan.steps * recipe.batch_size  # that one epoch trains on
    with tqdm(total=recipe.epochs * images, unit="img", unit_scale=True, disable=None, dynamic_ncols=True) as bar:
        for epoch in range(recipe.epochs):
            bar.set_description(f"epoch {epoch + 1}/{recipe.epochs}")
            began = time.perf_counter()
            batches = training_batches(train, data, recipe.batch_size, seed, epoch)
            trained = train_epoch(model, optimizer, batches, plan, epoch, bar)
            seconds = time.perf_counter() - began
            if not isfinite(trained.loss):
                raise Diverged(f"the loss of epoch {epoch + 1} is {trained.loss}; a smaller recipe.lr may help")
            scores = evaluate(model, evaluation_batches(test, data, EVALUATION_BATCH))
            yield Epoch(
                epoch=epoch + 1,
                lr=plan.lr((epoch + 1) * plan.steps - 1),
                train_loss=trained.loss,
                train_top1=trained.top1,
                val_loss=scores.loss,
                top1=scores.top1,
                top5=scores.top5,
                train_seconds=seconds,
                images_per_second=images / seconds,
            )
