"""A network on its way from its first step to its last: what changes, and what a checkpoint has to hold of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from modernet.errors import UserError
from modernet.model import Network, build, initialize
from modernet.optim import lr_at, make_optimizer
from modernet.place import Place, Share
from modernet.rng import Purpose, seed_all
from modernet.spec import Machine, ModelSpec, Recipe
from modernet.together import total

WORTH_COMPILING = 2000  # steps: a minute of compiling is then made up for


@dataclass(frozen=True)
class Plan:
    """What every step of a run can be told from its number."""

    recipe: Recipe
    steps: int  # per epoch
    seed: int
    share: Share

    @property
    def total(self) -> int:
        return self.recipe.epochs * self.steps

    def lr(self, step: int) -> float:
        recipe = self.recipe
        warmup = round(recipe.warmup_epochs * self.steps)
        return lr_at(step, self.total, warmup, recipe.peak_lr, recipe.min_lr, recipe.schedule)


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
        """`loss` is the batch's mean; `logits` (N, classes), `labels` (N,) or, of mixed images, (N, classes)."""
        if labels.ndim > 1:
            labels = labels.argmax(1)  # the larger part of the mixture
        ranked = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]  # (N, 5)
        images = torch.full((), float(len(labels)), device=labels.device)
        self.sums += torch.stack([images, loss * images, ranked[:, 0].sum(), ranked.sum()])

    def gather(self, place: Place) -> None:
        """Let rank 0 hold the sums of all processes, and the others none."""
        sums = total(place, self.sums)
        self.sums = sums if place.first else torch.zeros_like(sums)

    def read(self, place: Place) -> Scores:
        """Over all processes, on each of them."""
        images, loss, top1, top5 = total(place, self.sums).tolist()
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
    top1_ema: float | None  # of the averaged weights, where the recipe has them
    train_seconds: float
    images_per_second: float  # trained, without evaluation

    def __str__(self) -> str:
        ema = "" if self.top1_ema is None else f", top-1 of EMA {self.top1_ema:.2f} %"
        return (
            f"epoch {self.epoch}: train loss {self.train_loss:.4f}, train top-1 {self.train_top1:.2f} %, "
            f"top-1 {self.top1:.2f} %, top-5 {self.top5:.2f} %{ema}, {self.images_per_second:.0f} images/s"
        )


@dataclass
class Training:
    """The weights, and all that has to be known to go on."""

    model: Network
    forward: nn.Module  # the model as it is called to train: compiled, and with gradients averaged over all processes
    optimizer: optim.Optimizer
    average: AveragedModel | None  # EMA of the weights
    autocast: Callable[[], AbstractContextManager[Any]]
    meter: Meter  # of this epoch so far
    step: int = 0  # optimizer steps done
    seconds: float = 0.0  # trained in this epoch so far
    epochs: list[Epoch] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        return self.meter.sums.device

    def apart(self) -> AbstractContextManager[Any]:
        """Within, gradients are added up but not yet averaged over the processes."""
        return self.forward.no_sync() if isinstance(self.forward, DistributedDataParallel) else nullcontext()

    def state(self) -> dict[str, Any]:
        """Tensors and plain values; as of rank 0, whose meter holds the sums."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "sums": self.meter.sums.tolist(),
            "step": self.step,
            "seconds": self.seconds,
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }

    def restore(self, state: dict[str, Any], place: Place) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.load_state_dict(state["average"])
        if place.first:
            self.meter.sums.copy_(torch.tensor(state["sums"], dtype=torch.float64))
        self.step, self.seconds = state["step"], state["seconds"]
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]


def uses_bf16(how: Machine, device: torch.device) -> bool:
    return how.amp == "bf16" or (how.amp == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported())


def is_compiled(how: Machine, device: torch.device, plan: Plan) -> bool:
    return how.compile == "on" or (how.compile == "auto" and device.type == "cuda" and plan.total >= WORTH_COMPILING)


def prepare(spec: ModelSpec, classes: int, plan: Plan, how: Machine, device: torch.device) -> Training:
    """A network at step 0, the same in every process. Raises UserError for what this device cannot do."""
    recipe, place = plan.recipe, plan.share.place
    seed_all(plan.seed, Purpose.INIT)
    model: Any = build(spec, classes, recipe.stochastic_depth)
    initialize(model, recipe.init, recipe.init_std)
    if recipe.sync_batchnorm and place.world > 1:
        if device.type != "cuda":
            raise UserError(f"recipe.sync_batchnorm=true needs GPUs where there are several processes, got {device}")
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model = model.to(device)
    if how.channels_last:
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    average = None
    if recipe.ema:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
    forward: nn.Module = model
    if place.world > 1:
        devices = [device] if device.type == "cuda" else None
        forward = DistributedDataParallel(model, device_ids=devices, gradient_as_bucket_view=True)
    if is_compiled(how, device, plan):
        forward.compile()
    bf16 = partial(torch.autocast, device.type, torch.bfloat16, enabled=uses_bf16(how, device))
    return Training(model, forward, make_optimizer(model, recipe), average, bf16, Meter(device))
