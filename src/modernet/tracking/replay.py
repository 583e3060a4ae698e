"""A run's files, logged at wandb after the fact: for an agent, and where wandb's offline copy is damaged."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modernet.config.experiment import Experiment
from modernet.config.schema import WandbConfig
from modernet.curves import read_intact_rows
from modernet.record import Record
from modernet.runtime.file_names import METRICS_FILE, STEPS_FILE
from modernet.tracking.logger import WandbLogger, wandb_run
from modernet.tracking.run_files import offline_files, read_run_file
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


def rebuild(folder: Path, record: Record) -> list[Path]:
    """Log a run that has ended offline once more, under the same id; the new file, none where that fails.

    wandb's earlier files of it are not pushed any more. Where the run's own files have no epoch of a finished run, they
    are no better than wandb's, and nothing is logged.
    """
    if record.status == "done" and not read_intact_rows(folder / METRICS_FILE, "epoch"):
        return []
    config, last, earlier = WandbConfig(mode="offline"), read_run_file(folder), offline_files(folder)
    arguments = last.get("arguments")
    if arguments is None:  # of a version that did not keep them
        where = {name: last[name] for name in ("project", "entity") if last.get(name)}
        arguments = run_arguments(config, folder, record) | where
    replay(config, folder, record, record, arguments)
    return [file for file in offline_files(folder) if file not in earlier]


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
    rows, epochs = read_intact_rows(folder / STEPS_FILE, "step"), read_intact_rows(folder / METRICS_FILE, "epoch")
    steps_per_epoch = round(rows[-1]["step"] / rows[-1]["epoch"]) if rows else 1
    facts = {name: getattr(record, name) for name in FACTS}
    with wandb_run(config, folder, experiment, facts, arguments) as wandb_logger:
        log_history(wandb_logger, rows, epochs, steps_per_epoch)
        wandb_logger.log_result(record)
        wandb_logger.mark_earlier_files()
