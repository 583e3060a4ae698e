"""A run's files, logged at wandb after the fact: for an agent, and where wandb's offline copy is damaged."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modernet.config.experiment import Experiment
from modernet.config.schema import WandbConfig
from modernet.curves import load_epochs, load_steps
from modernet.record import Record
from modernet.runtime.file_names import RECORD_FILE
from modernet.tracking.logger import WandbLogger, wandb_run
from modernet.tracking.run_files import read_run_file
from modernet.tracking.settings import run_arguments

# Of a record, what the config at wandb has besides the experiment.
FACTS = ("params", "gmacs", "machine", "device", "torch", "commit", "host", "cpu", "gpus", "versions")


def log_history(
    wandb_logger: WandbLogger,
    rows: Iterable[Mapping[str, float]],
    epochs: Iterable[Mapping[str, Any]],
    steps_per_epoch: int,
) -> None:
    """Log rows of steps.jsonl and metrics.jsonl in the order in which a training logs them."""
    left = list(rows)
    for epoch in epochs:
        last_step = epoch["epoch"] * steps_per_epoch
        while left and left[0]["step"] <= last_step:
            wandb_logger.log_steps(left.pop(0))
        wandb_logger.log_epoch(epoch, last_step)
    for row in left:
        wandb_logger.log_steps(row)


def rebuild(folder: Path, record: Record) -> None:
    """Log a run that has ended offline once more, under the same id. wandb's files of it are not pushed any more."""
    config = WandbConfig(mode="offline")
    arguments = read_run_file(folder).get("arguments") or run_arguments(config, folder, record)
    replay(config, folder, record, record, arguments)


def replay(
    config: WandbConfig,
    folder: Path,
    experiment: Experiment | Record,
    record: Record,
    arguments: Mapping[str, Any] | None = None,
) -> None:
    """Log a finished run as a new wandb run, so that a sweep of wandb gets its metric without training it again.

    `arguments` are those of `wandb_run`.
    """
    path = folder / RECORD_FILE
    rows = _read_or_nothing(load_steps, path)
    epochs = _read_or_nothing(load_epochs, path)
    steps_per_epoch = round(rows[-1]["step"] / rows[-1]["epoch"]) if rows else 1
    facts = {name: getattr(record, name) for name in FACTS}
    with wandb_run(config, folder, experiment, facts, arguments) as wandb_logger:
        log_history(wandb_logger, rows, epochs, steps_per_epoch)
        wandb_logger.log_result(record)
        wandb_logger.mark_earlier_files()


def _read_or_nothing(load: Any, path: Path) -> list[dict[str, Any]]:
    try:
        return load(path)
    except (OSError, ValueError):  # an earlier version, or a failed first epoch
        return []
