"""When a run saves a checkpoint, stops or aborts."""

import time
from collections.abc import Iterable, Iterator
from enum import IntEnum
from math import isfinite
from pathlib import Path
from typing import TypeVar

from modernet.errors import ConnectionLost, Interrupted, NonFiniteLoss
from modernet.runtime.collectives import all_reduce_max, any_rank
from modernet.runtime.distributed import DistributedEnv
from modernet.runtime.signals import ShutdownSignal
from modernet.training.checkpoint_files import RunIdentity, save_checkpoint
from modernet.training.leftovers import latest_checkpoint
from modernet.training.metrics import EvalMetrics, LossMonitor
from modernet.training.state import TrainState

T = TypeVar("T")


class Action(IntEnum):
    """What happens after a step; of all ranks' choices the largest is done."""

    END = 0
    CONTINUE = 1
    SAVE = 2
    STOP = 3
    ABORT = 4


class CheckpointManager:
    """Saves a run every few minutes and when a signal asks it to stop, and ends it when its loss is not finite."""

    def __init__(
        self, folder: Path, minutes: float, env: DistributedEnv, shutdown: ShutdownSignal, run: RunIdentity
    ) -> None:
        self.folder, self.seconds, self.env, self.shutdown, self.run = folder, 60 * minutes, env, shutdown, run
        self.saved_at = time.monotonic()

    def after_step(self, state: TrainState, losses: LossMonitor) -> bool:
        """Save the state if it is due; returns whether it was saved.

        Before, the wait for the steps that the device still computes is counted as training, also in what is saved.
        Raises Interrupted after saving where a signal arrived on any rank, NonFiniteLoss for a loss that is not finite.
        """
        action = all_reduce_max(self._choose_action(losses))
        if action == Action.CONTINUE:
            return False
        began = time.perf_counter()
        losses.read(wait=True)
        if any_rank(losses.first_nonfinite is not None):
            raise self._nonfinite_loss(losses)
        state.train_seconds += time.perf_counter() - began
        state.train_metrics.gather()
        self._save(state)
        if action == Action.STOP:
            raise self.interrupted()
        return True

    def interruptible(self, batches: Iterable[T], state: TrainState) -> Iterator[T]:
        """The batches of an evaluation; saves and raises Interrupted where a signal arrives on any rank.

        All ranks decide together before each batch, including ranks that have no more batches.
        """
        iterator = iter(batches)
        while True:
            batch = next(iterator, None)
            action = Action.STOP if self.shutdown.requested else Action.CONTINUE if batch is not None else Action.END
            action = all_reduce_max(action)
            if action == Action.END:
                return
            if action == Action.STOP:
                self._save(state)
                raise self.interrupted()
            if batch is not None:
                yield batch

    def check_finite(self, metrics: EvalMetrics) -> EvalMetrics:
        """The metrics themselves. Raises NonFiniteLoss: after the last step, only the evaluation sees the weights."""
        if not isfinite(metrics.loss):
            raise self._nonfinite("the loss of the evaluation is not finite")
        return metrics

    def _choose_action(self, losses: LossMonitor) -> Action:
        if losses.first_nonfinite:
            return Action.ABORT
        if self.shutdown.requested:
            return Action.STOP
        if self.env.is_main_process and time.monotonic() - self.saved_at >= self.seconds:
            return Action.SAVE
        return Action.CONTINUE

    def _save(self, state: TrainState) -> None:
        # A gradient overflow breaks the weights one step before a loss shows it. Rank 0 alone updates the statistics of
        # BatchNorm, so the ranks may differ.
        if any_rank(not state.has_finite_weights()):
            raise self._nonfinite(f"the weights after step {state.step} are not finite")
        fault = None
        if self.env.is_main_process:
            try:
                save_checkpoint(self.folder, state.step, state.state_dict(), self.run)
            except OSError as error:
                fault = error
        if any_rank(fault):  # also a barrier, as torchrun ends all ranks when one exits
            raise fault or ConnectionLost("rank 0 could not save a checkpoint; its message has the reason")
        self.saved_at = time.monotonic()

    def _nonfinite_loss(self, losses: LossMonitor) -> NonFiniteLoss:
        reading = losses.first_nonfinite
        if reading is None:
            return self._nonfinite("the loss on another rank is not finite")
        return self._nonfinite(f"the loss of step {reading.step} is not finite, at learning rate {reading.lr:.3g}")

    def _nonfinite(self, problem: str) -> NonFiniteLoss:
        return NonFiniteLoss(f"{problem}; last good checkpoint: {latest_checkpoint(self.folder) or 'none'}")

    def interrupted(self) -> Interrupted:
        """The error of a run that a signal stops."""
        signal = self.shutdown.requested or "a signal to another rank"
        path = latest_checkpoint(self.folder) or "the start"
        error = Interrupted(f"stopped by {signal}; rerun the same command to resume from {path}")
        error.is_logged = True  # by Trainer.fit
        return error
