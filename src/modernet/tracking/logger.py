"""wandb as a copy of a run's files: the config, the rows of steps.jsonl and metrics.jsonl, the record as summary."""

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modernet.config.experiment import Experiment
from modernet.config.schema import WandbConfig
from modernet.record import METRICS, Record, flatten
from modernet.runtime.io import write_text
from modernet.runtime.logging import logger
from modernet.tracking.settings import run_arguments, select_mode

SUMMARY = (
    *("top1", "top5", "top1_ema", "val_loss", "gmacs", "params", "images_per_second", "train_seconds", "status"),
    *(metric.name for metric in METRICS),
)
SUMMARY_IN_TRAINING = ("epoch", "top1", "top5", "top1_ema", "val_loss", "images_per_second")
STEP_AXIS = "train/step"
# Names in the rows of steps.jsonl and of metrics.jsonl -> names at wandb.
STEP_NAMES = {
    "step": STEP_AXIS,
    "epoch": "epoch",
    "train_loss": "train/loss",
    "train_top1": "train/top1",
    "lr": "train/lr",
    "images_per_second": "train/images_per_second",
    "data_wait": "train/data_wait",
    "grad_norm": "train/grad_norm",
    "peak_memory": "system/peak_memory",
}
EPOCH_NAMES = {
    "epoch": "epoch",
    "val_loss": "val/loss",
    "top1": "val/top1",
    "top5": "val/top5",
    "top1_ema": "val/top1_ema",
}
EPOCH_PREFIX = "epoch/"  # of what else an epoch has: means over its training, and declared metrics
AXES = {"train/*": STEP_AXIS, "system/peak_memory": STEP_AXIS, "val/*": "epoch", f"{EPOCH_PREFIX}*": "epoch"}
FINISH_SECONDS = 60  # at most, to send what is left when a run ends; Slurm warns 120 s before the end
RUN_FILE = "wandb/run.json"  # in the run's folder: where wandb has the run


class WandbLogger:
    """One wandb run; silent where `run` is None. An error of wandb is logged once and does not stop the training.

    `is_new`: wandb has no earlier part of the run.
    """

    def __init__(self, run: Any, is_new: bool = True) -> None:
        self.run, self.is_new = run, is_new
        self.has_result = False

    def log_steps(self, row: Mapping[str, float]) -> None:
        """Log a row of steps.jsonl."""
        values = {STEP_NAMES[name]: value for name, value in row.items() if name in STEP_NAMES}
        self._attempt(lambda run: run.log(values, step=int(row["step"])))

    def log_epoch(self, epoch: Mapping[str, Any], step: int) -> None:
        """Log the metrics of an epoch that ended with optimizer step `step`; a row of metrics.jsonl."""
        measured = {name: value for name, value in epoch.items() if value is not None and name != "lr"}  # train/lr
        values = {EPOCH_NAMES.get(name, EPOCH_PREFIX + name): value for name, value in measured.items()}
        summary = {name: measured[name] for name in SUMMARY_IN_TRAINING if name in measured}
        self._attempt(lambda run: run.log(values, step=step, commit=True))
        self._attempt(lambda run: run.summary.update(summary))

    def log_result(self, record: Record) -> None:
        """Set the summary to the record's values."""
        values = {name: value for name, value in flatten(record).items() if name in SUMMARY and value is not None}
        self._attempt(lambda run: run.summary.update(values))
        self.has_result = True

    def close(self, status: int) -> None:
        """End the run with an exit status."""
        if not self.has_result:
            self._attempt(lambda run: run.summary.update({"status": "interrupted"}))
        self._attempt(lambda run: run.finish(exit_code=status))

    def _attempt(self, call: Callable[[Any], Any]) -> None:
        if self.run is None:
            return
        try:
            call(self.run)
        except TimeoutError:  # of `finish`
            folder = Path(self.run.dir).parent
            logger.warning(f"wandb lacks a part of the run after {FINISH_SECONDS} s; `wandb sync {folder}` sends it")
        except Exception as error:
            logger.warning(f"wandb failed ({error}); training continues without it")
            self.run = None


def read_run_file(folder: Path) -> dict[str, Any]:
    """`id`, `entity`, `project` and `url` of a run at wandb; empty where the run's folder does not have them."""
    try:
        values = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _init(config: WandbConfig | None, folder: Path, experiment: Experiment, facts: Mapping[str, Any]) -> WandbLogger:
    """A wandb run, the one of an earlier start of the same run if there is one; silent where wandb is off or fails."""
    if config is None or (mode := select_mode(config)) == "disabled":
        return WandbLogger(None)
    try:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # wandb sends its own errors, also of offline runs
        import wandb  # takes a second

        before = read_run_file(folder)
        earlier = os.environ.get("WANDB_RUN_ID") or before.get("id")  # `wandb agent` sets it
        run_id = earlier or secrets.token_hex(4)
        (folder / RUN_FILE).parent.mkdir(exist_ok=True)
        if not before:  # before wandb has a run, so that a process that is killed now continues the same one
            write_text(folder / RUN_FILE, json.dumps({"id": run_id}) + "\n")
        run = wandb.init(
            **run_arguments(config, folder, experiment),
            id=run_id,
            resume="allow" if earlier else None,
            mode=mode,
            config={**_describe(experiment), **facts},
            # Without a limit, `finish` waits for a lost connection for ever, and a job is not requeued in time.
            settings=wandb.Settings(
                silent=True, console="off", finish_timeout=FINISH_SECONDS, finish_timeout_raises=True
            ),
        )
        url = None if mode == "offline" else run.url  # which warns offline that there is none
        where = {"id": run.id, "entity": run.entity, "project": run.project, "url": url}
        write_text(folder / RUN_FILE, json.dumps(where) + "\n")
        for axis in ("epoch", STEP_AXIS):
            run.define_metric(axis)
        for metrics, axis in AXES.items():
            run.define_metric(metrics, step_metric=axis)
        counted = {name: facts[name] for name in ("params", "gmacs") if name in facts}
        run.summary.update({"status": "running", **counted})
        logger.info(f"wandb: {url}" if url else f"wandb: offline run {run.id}; modernet sync uploads it")
        return WandbLogger(run, is_new=run.id != before.get("id") or "project" not in before)
    except Exception as error:  # no disk, no network, a broken installation: none of it is the run's fault
        logger.warning(f"wandb could not start ({error}); training continues without it")
        return WandbLogger(None)


def _describe(experiment: Experiment) -> dict[str, Any]:
    """The config of the run at wandb: what decides its result, and its names."""
    names = {"step": experiment.step, "variant": experiment.variant, "size": experiment.size, "hash": experiment.hash}
    return experiment.config | names


@contextmanager
def wandb_run(
    config: WandbConfig | None, folder: Path, experiment: Experiment, facts: Mapping[str, Any] | None = None
) -> Iterator[WandbLogger]:
    """A wandb run of a training, with its files below `folder`; it ends with the context. None logs nothing.

    `facts` (costs, machine, versions) are added to its config.
    """
    wandb_logger = _init(config, folder, experiment, facts or {})
    status = 1
    try:
        yield wandb_logger
        status = 0
    finally:
        wandb_logger.close(status)
