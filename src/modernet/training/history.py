"""What a run logs while it trains: `steps.jsonl`, `metrics.jsonl`, and wandb's copy of both."""

import json
from pathlib import Path

from modernet.curves import read_intact_rows
from modernet.record import Epoch, Steps, flatten
from modernet.runtime.file_names import METRICS_FILE, STEPS_FILE
from modernet.runtime.io import write_text
from modernet.runtime.logging import logger
from modernet.tracking.logger import WandbLogger
from modernet.tracking.replay import log_history
from modernet.training.state import TrainPlan, TrainState


class RunHistory:
    """The files of a run have every row once, however often it was stopped; wandb gets a row that it has not yet.

    Rows after the checkpoint from which a run resumes are deleted: the same steps are trained again. Rows of
    `steps.jsonl` before it that are missing or damaged are lost, which a warning says; epochs are in the checkpoint. A
    new wandb run gets everything from the start of the training, so that earlier offline files are not needed.
    """

    def __init__(self, folder: Path, state: TrainState, plan: TrainPlan, wandb: WandbLogger) -> None:
        self.folder, self.state, self.plan, self.wandb = folder, state, plan, wandb
        self.enabled = plan.layout.env.is_main_process
        if not self.enabled:
            return
        earlier = read_intact_rows(folder / STEPS_FILE, "step")
        rows = [row for row in earlier if row["step"] <= state.step]
        self._warn_of_lost_rows(int(rows[-1]["step"]) if rows else 0)
        write_text(folder / STEPS_FILE, "".join(json.dumps(row) + "\n" for row in rows))
        if wandb.is_new:
            log_history(wandb, rows, map(flatten, state.epochs), plan.steps_per_epoch)
            wandb.mark_earlier_files()
            self.logged_steps, self.logged_epochs = state.step, len(state.epochs)
            return
        per_epoch, arrived = plan.steps_per_epoch, wandb.last_step()
        epochs = arrived // per_epoch
        if arrived % per_epoch == 0 and len(read_intact_rows(folder / METRICS_FILE, "epoch")) < epochs:
            epochs -= 1  # the evaluation after the last step had not ended
        wandb.resume(min(arrived + 1, (epochs + 1) * per_epoch))
        missing = [row for row in rows if row["step"] > arrived]
        log_history(wandb, missing, map(flatten, state.epochs[epochs:]), per_epoch)
        self.logged_steps, self.logged_epochs = max(arrived, state.step), max(epochs, len(state.epochs))

    def _warn_of_lost_rows(self, last: int) -> None:
        """`last` is the step of the last row that is left."""
        if last < self.state.mark.step:
            logger.warning(
                f"{self.folder / STEPS_FILE}: the rows of steps {last + 1} to {self.state.mark.step} are missing or "
                "damaged, and lost; weights and metrics do not depend on them"
            )

    def write_steps(self, steps: Steps) -> None:
        """Append a row to steps.jsonl. Raises OSError that names it."""
        row, path = steps.values(), self.folder / STEPS_FILE
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        if steps.step > self.logged_steps:
            self.wandb.log_steps(row)

    def write_epoch(self, epoch: Epoch) -> None:
        """Rewrite metrics.jsonl with all epochs, so that the file of a resumed run is that of an uninterrupted one."""
        if not self.enabled:
            return
        if epoch.epoch > self.logged_epochs:
            self.wandb.log_epoch(flatten(epoch), epoch.epoch * self.plan.steps_per_epoch)
        lines = (json.dumps(flatten(epoch)) + "\n" for epoch in self.state.epochs)
        write_text(self.folder / METRICS_FILE, "".join(lines))
