"""Training every few optimizer steps, as rows of `steps.jsonl`, without a wait for the device."""

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from modernet.record import Steps
from modernet.training.metrics import HostCopy, measure_resources
from modernet.training.state import StepMark, TrainPlan, TrainState


class StepMonitor:
    """Measures a row every `every` steps of an epoch and after its last one, and writes it once it has arrived.

    Losses and accuracies are means over the steps since the row before. Gradients are only read, so that training is
    the same, bit for bit, with every value of `every`.
    """

    def __init__(self, plan: TrainPlan, every: int, write: Callable[[Steps], None]) -> None:
        self.plan, self.every, self.write = plan, every, write
        self.grad_norm: Tensor | None = None
        self.pending: deque[tuple[dict[str, Any], HostCopy]] = deque()

    def is_due(self, step: int) -> bool:
        """Whether a row ends after `step` optimizer steps."""
        in_epoch = (step - 1) % self.plan.steps_per_epoch + 1
        return in_epoch % self.every == 0 or in_epoch == self.plan.steps_per_epoch

    def before_update(self, state: TrainState) -> None:
        """Measure the accumulated gradient of the next optimizer step."""
        self.grad_norm = None
        if self.is_due(state.step + 1) and self.plan.layout.env.is_main_process:
            gradients = [parameter.grad for parameter in state.model.parameters() if parameter.grad is not None]
            self.grad_norm = get_total_norm(gradients)

    def after_update(self, state: TrainState, lr: float, train_seconds: float) -> None:
        """Start the copy of a row that is due; `train_seconds` are those of the epoch up to now."""
        if not self.is_due(state.step):
            return
        sums, mark = state.train_metrics.since_mark(), state.mark
        state.mark = StepMark(state.step, train_seconds, state.data_seconds)
        if not self.plan.layout.env.is_main_process:
            return
        seconds = train_seconds - mark.train_seconds
        resources = measure_resources(state.device, seconds, state.data_seconds - mark.data_seconds)
        images = (state.step - mark.step) * self.plan.recipe.batch_size
        values: dict[str, Any] = {
            "step": state.step,
            "epoch": state.step / self.plan.steps_per_epoch,
            "lr": lr,
            "images_per_second": images / seconds,
            **resources,
        }
        if self.grad_norm is not None:
            sums = torch.cat([sums, self.grad_norm.to(sums.dtype).reshape(1)])
        self.pending.append((values, HostCopy(sums)))

    def read(self, wait: bool = False) -> None:
        """Write the rows that have arrived; with `wait`, all."""
        while self.pending and (wait or self.pending[0][1].has_arrived()):
            values, copy = self.pending.popleft()
            images, loss, hits, _, _, *norm = copy.read()
            measured: dict[str, Any] = {"train_loss": loss / images, "train_top1": 100 * hits / images}
            self.write(Steps(**values, **measured, grad_norm=norm[0] if norm else None))
