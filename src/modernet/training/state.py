"""The state of a training: network, optimizer, averaged weights and counters, and how a checkpoint holds them."""

import copy
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn.parallel import DistributedDataParallel

from modernet.config.schema import MIN_STEPS_TO_COMPILE, ExecutionConfig, ModelConfig, RecipeConfig
from modernet.models.init import init_weights
from modernet.models.network import Network, build_model
from modernet.record import Epoch
from modernet.runtime.device import missing_for_compile
from modernet.runtime.distributed import BatchLayout
from modernet.runtime.provenance import utc_now
from modernet.runtime.seeding import Purpose, seed_everything
from modernet.training.ema import update_ema
from modernet.training.metrics import MetricSums
from modernet.training.optim import build_optimizer, lr_at

BATCH_NORM_MOMENTUM = 0.1  # torch's default


@dataclass(frozen=True)
class TrainPlan:
    """Everything a step derives from its number: learning rate, seed and slice of the data."""

    recipe: RecipeConfig
    steps_per_epoch: int
    seed: int
    layout: BatchLayout

    @property
    def total_steps(self) -> int:
        return self.recipe.epochs * self.steps_per_epoch

    def lr(self, step: int) -> float:
        """The learning rate of optimizer step `step`, from 0."""
        recipe = self.recipe
        warmup_steps = round(recipe.warmup_epochs * self.steps_per_epoch)
        return lr_at(step, self.total_steps, warmup_steps, recipe.peak_lr, recipe.min_lr, recipe.schedule)


@dataclass(frozen=True)
class StepMark:
    """Where the running row of `steps.jsonl` begins."""

    step: int = 0  # optimizer steps done
    train_seconds: float = 0.0  # of the epoch up to there
    data_seconds: float = 0.0


@dataclass
class TrainState:
    """What training changes. `state_dict` is all that a run needs to resume."""

    model: Network
    train_model: nn.Module  # the model as the loop calls it: compiled, gradients averaged over the ranks
    optimizer: optim.Optimizer
    ema_model: Network | None  # averaged weights, where the recipe has them
    ema_decay: float
    autocast: Callable[[], AbstractContextManager[Any]]
    train_metrics: MetricSums  # of the running epoch
    step: int = 0  # optimizer steps done
    train_seconds: float = 0.0  # in the running epoch
    data_seconds: float = 0.0  # of these, waiting for batches
    mark: StepMark = StepMark()
    epochs: list[Epoch] = field(default_factory=list)  # finished ones
    started: str = field(default_factory=utc_now)  # first start of the run; ISO 8601, UTC

    @property
    def device(self) -> torch.device:
        return self.train_metrics.sums.device

    @cached_property
    def norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.model.modules() if isinstance(module, nn.BatchNorm2d)]

    def grad_sync(self, enabled: bool) -> AbstractContextManager[Any]:
        """A context in which backward averages gradients over the ranks, or only accumulates them."""
        if enabled or not isinstance(self.train_model, DistributedDataParallel):
            return nullcontext()
        return self.train_model.no_sync()

    def set_running_statistics(self, enabled: bool) -> None:
        """Whether the next forward passes update the running statistics of BatchNorm.

        One micro-batch of a step updates them, whatever the number of devices and accumulation steps.
        """
        for module in self.norms:
            module.momentum = BATCH_NORM_MOMENTUM if enabled else 0.0

    def apply_update(self, lr: float) -> None:
        """One optimizer step from the accumulated gradients."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema_model is not None:
            update_ema(self.ema_model, self.model, self.ema_decay if self.step else 0.0)
        self.step += 1

    def finish_epoch(self, epoch: Epoch) -> None:
        """Append the metrics of an epoch and start the sums of the next."""
        self.epochs.append(epoch)
        self.train_metrics = MetricSums(self.device, self.train_metrics.env)
        self.train_seconds = self.data_seconds = 0.0
        self.mark = StepMark(self.step)

    @torch.no_grad()
    def start_from(self, weights: Mapping[str, Tensor]) -> str:
        """Copy weights under our names into the network at step 0; what they lack stays. Returns a line for the log."""
        for model in filter(None, (self.model, self.ema_model)):
            values = model.state_dict()
            for name, value in weights.items():
                values[name].copy_(value)
        head = "" if "classifier.weight" in weights else ", with a new head for its number of classes"
        return f"starting from trained weights{head}"

    def has_finite_weights(self) -> bool:
        return all(bool(value.isfinite().all()) for value in self.model.state_dict().values())

    def weights(self) -> dict[str, Any]:
        """State dicts of the trained network: `model`, and `ema_model` where the recipe has EMA."""
        weights = {"model": self.model.state_dict()}
        if self.ema_model is not None:
            weights["ema_model"] = self.ema_model.state_dict()
        return weights

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values. Rank 0's is complete after `train_metrics.gather()`."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema_model": self.ema_model.state_dict() if self.ema_model is not None else None,
            "train_metrics": self.train_metrics.state_dict(),
            "step": self.step,
            "train_seconds": self.train_seconds,
            "data_seconds": self.data_seconds,
            "mark": asdict(self.mark),
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "started": self.started,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema_model is not None:
            self.ema_model.load_state_dict(state["ema_model"])
        self.train_metrics.load_state_dict(state["train_metrics"])
        self.step = state["step"]
        self.train_seconds, self.data_seconds = state["train_seconds"], state["data_seconds"]
        self.mark = StepMark(**state["mark"])
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        self.started = state["started"]


def uses_bf16(execution: ExecutionConfig, device: torch.device) -> bool:
    """Whether the network computes in bfloat16."""
    is_supported = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return execution.amp == "bf16" or (execution.amp == "auto" and is_supported)


def uses_compile(execution: ExecutionConfig, device: torch.device, plan: TrainPlan) -> bool:
    """Whether the network is compiled."""
    return execution.compile == "on" or (pays_to_compile(execution, device, plan) and not missing_for_compile(device))


def pays_to_compile(execution: ExecutionConfig, device: torch.device, plan: TrainPlan) -> bool:
    """Whether compile=auto would compile the network if this machine can."""
    return execution.compile == "auto" and device.type == "cuda" and plan.total_steps >= MIN_STEPS_TO_COMPILE


def uncompiled_warning(execution: ExecutionConfig, device: torch.device, plan: TrainPlan) -> str | None:
    """A line where compile=auto would compile the network and this machine cannot."""
    missing = missing_for_compile(device) if pays_to_compile(execution, device, plan) else None
    return missing and f"the network is not compiled: torch.compile needs {missing}, which this machine lacks"


def build_state(
    model_config: ModelConfig, num_classes: int, plan: TrainPlan, execution: ExecutionConfig, device: torch.device
) -> TrainState:
    """A network at step 0, the same on every rank."""
    recipe, env = plan.recipe, plan.layout.env
    seed_everything(plan.seed, Purpose.INIT)
    model: Any = build_model(model_config, num_classes, recipe.drop_path_rate)
    init_weights(model, recipe.init, recipe.init_std)
    model = model.to(device)
    if execution.channels_last:
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    ema_model = copy.deepcopy(model) if recipe.ema_decay else None
    train_model: nn.Module = model
    if env.world_size > 1:
        device_ids = [device] if device.type == "cuda" else None
        train_model = DistributedDataParallel(model, device_ids=device_ids, gradient_as_bucket_view=True)
        # Rank 0 updates the running statistics alone, and evaluation broadcasts them. As an argument, torch 2.13 and
        # later warn of it.
        train_model.broadcast_buffers = False
        # With channels_last, the strides of 1x1 convolutions are ambiguous; the order in memory is the same.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    if uses_compile(execution, device, plan):
        torch.compiler.reset()  # graphs of a sweep's earlier runs count towards the limit from which Dynamo gives up
        train_model.compile(options={"fallback_random": True})  # stochastic depth draws what it draws uncompiled
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=uses_bf16(execution, device))
    optimizer = build_optimizer(model, recipe)
    return TrainState(model, train_model, optimizer, ema_model, recipe.ema_decay, autocast, MetricSums(device, env))
