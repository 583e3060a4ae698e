"""wandb as a copy of the records: a run there has the config, a line per epoch, and the record as its summary."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from modernet.config.experiment import Experiment
from modernet.record import METRICS, Epoch, Record, flatten
from modernet.runtime.io import write_text
from modernet.runtime.logging import logger

WandbMode = Literal["offline", "online", "disabled"]
PROJECT = "modernet"  # wandb's environment variables, WANDB_PROJECT among them, take precedence
SUMMARY = (
    *("top1", "top5", "top1_ema", "val_loss", "gmacs", "params", "images_per_second", "train_seconds", "status"),
    *(metric.name for metric in METRICS),
)
ID_FILE = "wandb/run_id"  # in the run's folder
MAX_GROUP_LENGTH = 128  # wandb's limit


class WandbLogger:
    """One wandb run; silent where `run` is None. An error of wandb is logged once and does not stop the training."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def log_epoch(self, epoch: Epoch) -> None:
        """Log the metrics of an epoch as one line of the history."""
        self._attempt(lambda run: run.log(flatten(epoch), step=epoch.epoch))

    def log_result(self, record: Record) -> None:
        """Set the summary to the record's values."""
        values = {name: value for name, value in flatten(record).items() if name in SUMMARY and value is not None}
        self._attempt(lambda run: run.summary.update(values))

    def close(self, status: int) -> None:
        """End the run with an exit status."""
        self._attempt(lambda run: run.finish(exit_code=status))

    def _attempt(self, call: Callable[[Any], Any]) -> None:
        if self.run is None:
            return
        try:
            call(self.run)
        except Exception as error:
            logger.warning(f"wandb failed ({error}); training continues without it")
            self.run = None


def _init(mode: WandbMode, folder: Path, experiment: Experiment) -> Any:
    """A wandb run, the one of an earlier start of the same run if there is one; None where wandb is off or fails."""
    if mode == "disabled":
        return None
    try:
        import wandb  # takes a second

        id_file = folder / ID_FILE
        run_id = id_file.read_text(encoding="utf-8") if id_file.is_file() else None
        run = wandb.init(
            project=PROJECT,
            dir=folder,
            id=run_id,
            resume="allow" if run_id else None,
            mode=mode,
            name=experiment.name,
            group=f"{experiment.protocol}/{experiment.variant}"[:MAX_GROUP_LENGTH],
            tags=[experiment.step],
            config=experiment.config
            | {"step": experiment.step, "variant": experiment.variant, "size": experiment.size},
            settings=wandb.Settings(silent=True, console="off"),
        )
        id_file.parent.mkdir(exist_ok=True)
        write_text(id_file, run.id)  # before the first step, so that a killed run continues the same wandb run
        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch", summary="none")  # the summary is the record's
        return run
    except Exception as error:  # no disk, no network, a broken installation: none of it is the run's fault
        logger.warning(f"wandb could not start ({error}); training continues without it")
        return None


@contextmanager
def wandb_run(mode: WandbMode, folder: Path, experiment: Experiment) -> Iterator[WandbLogger]:
    """A wandb run with its files below `folder`, grouped by protocol and variant; it ends with the context."""
    wandb_logger = WandbLogger(_init(mode, folder, experiment))
    status = 1
    try:
        yield wandb_logger
        status = 0
    finally:
        wandb_logger.close(status)
