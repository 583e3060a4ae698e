"""wandb as a copy of a run's files: the config, the rows of steps.jsonl and metrics.jsonl, the record as summary."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modernet.config.experiment import Experiment
from modernet.config.schema import WandbConfig
from modernet.metrics import METRICS
from modernet.record import Record, flatten
from modernet.runtime.logging import logger
from modernet.tracking.run_files import mark_pushed, offline_files, read_run_file, update_run_file
from modernet.tracking.settings import WandbMode, is_agent, run_arguments, select_mode

SUMMARY = (
    *("top1", "top5", "top1_ema", "val_loss", "gmacs", "params", "images_per_second", "train_seconds", "status"),
    *(metric.name for metric in METRICS),
)
SUMMARY_IN_TRAINING = ("epoch", "top1", "top5", "top1_ema", "val_loss", "images_per_second")
STEP_AXIS = "train/step"
# Names in the rows of steps.jsonl and of metrics.jsonl -> names at wandb. Others get a prefix.
STEP_NAMES = {
    "step": STEP_AXIS,
    "epoch": "epoch",
    "train_loss": "train/loss",
    "train_top1": "train/top1",
    "peak_memory": "system/peak_memory",
}
STEP_PREFIX = "train/"
EPOCH_NAMES = {
    "epoch": "epoch",
    "val_loss": "val/loss",
    "top1": "val/top1",
    "top5": "val/top5",
    "top1_ema": "val/top1_ema",
}
EPOCH_PREFIX = "epoch/"  # of what else an epoch has: means over its training, and declared metrics
# What the summary has of the last epoch's evaluation: wandb's own values, and those of a record.
EVALUATION = [name for name in (*EPOCH_NAMES, *EPOCH_NAMES.values()) if name != "epoch"]
AXES = {"train/*": STEP_AXIS, "system/peak_memory": STEP_AXIS, "val/*": "epoch", f"{EPOCH_PREFIX}*": "epoch"}
FINISH_SECONDS = 60  # at most, to send what is left when a run ends; Slurm warns 120 s before the end


class WandbLogger:
    """One wandb run; silent where `run` is None. An error of wandb is logged once and does not stop the training.

    `is_new`: wandb has no earlier part of the run, or forgets it. Offline that is so for each start, because the file
    of a process that was killed lacks its last 32 KiB. `earlier_files` were logged offline by earlier starts. `before`
    is what run.json has of the start that this one continues.
    """

    def __init__(
        self,
        run: Any,
        folder: Path | None = None,
        is_new: bool = True,
        earlier_files: Iterable[Path] = (),
        before: Mapping[str, Any] | None = None,
    ) -> None:
        self.run, self.folder, self.is_new, self.earlier_files = run, folder, is_new, earlier_files
        self.before = before or {}
        self.step_offset = self.before.get("step_offset", 0)  # wandb's step minus the optimizer's
        self.result: str | None = None  # the record's status

    def last_step(self) -> int:
        """The optimizer step of the last row that the server has; a killed process has not sent all of them."""
        if self.run is None:
            return 0
        if self.run.starting_step == self.before.get("starting_step"):  # nothing arrived by the start before
            return self.before["last_step"]
        return max(0, self.run.starting_step - 1 - self.step_offset)

    def resume(self, next_step: int) -> None:
        """Continue with a row of this optimizer step.

        wandb drops a row whose step it has, as the metrics of an evaluation that was stopped and is repeated: that row
        and all later ones get higher steps at wandb. Axes are those of AXES and do not move.
        """
        if self.run is not None:
            first, last = self.run.starting_step, self.last_step()
            self.step_offset = max(0, first - next_step)
            self._update_run_file(step_offset=self.step_offset, starting_step=first, last_step=last)

    def log_steps(self, row: Mapping[str, float]) -> None:
        """Log a row of steps.jsonl."""
        values = {STEP_NAMES.get(name, STEP_PREFIX + name): value for name, value in row.items()}
        self._attempt(lambda run: run.log(values, step=self.step_offset + int(row["step"])))

    def log_epoch(self, epoch: Mapping[str, Any], step: int) -> None:
        """Log the metrics of an epoch that ended with optimizer step `step`; a row of metrics.jsonl."""
        measured = {name: value for name, value in epoch.items() if value is not None and name != "lr"}  # train/lr
        values = {EPOCH_NAMES.get(name, EPOCH_PREFIX + name): value for name, value in measured.items()}
        summary = {name: measured[name] for name in SUMMARY_IN_TRAINING if name in measured}
        self._attempt(lambda run: run.log(values, step=self.step_offset + step, commit=True))
        self._attempt(lambda run: run.summary.update(summary))

    def log_result(self, record: Record) -> None:
        """Set the summary to the record's values. A failed run has no accuracy there, as in its record."""
        values = {name: value for name, value in flatten(record).items() if name in SUMMARY and value is not None}
        if record.status == "failed":
            values |= dict.fromkeys(EVALUATION)
        self._attempt(lambda run: run.summary.update(values))
        self.result = record.status

    def mark_earlier_files(self) -> None:
        """Keep the earlier files from being pushed, where this run has all that they hold."""
        self._attempt(lambda _: mark_pushed(self.earlier_files))

    def close(self, status: int) -> None:
        """End the run with an exit status, which is 1 for a failed run."""
        if self.result is None:
            self._attempt(lambda run: run.summary.update({"status": "interrupted"}))
        self._attempt(lambda run: run.finish(exit_code=1 if self.result == "failed" else status))
        if self.run is not None and self.result is not None:
            self._update_run_file(is_complete=True)

    def _update_run_file(self, **values: Any) -> None:
        if (folder := self.folder) is not None:
            self._attempt(lambda _: update_run_file(folder, **values))

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


def _continues(before: Mapping[str, Any], mode: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a start continues the wandb run of the start before, which run.json describes.

    It does not in another project or entity, nor online where the server may have nothing: the run is offline so far.
    """
    was_offline = before.get("url", "") is None
    asked = {name: arguments[name] for name in ("project", "entity") if arguments[name]}
    is_elsewhere = any(before.get(name, value) != value for name, value in asked.items())
    return not is_elsewhere and (mode == "offline" or not was_offline)


def _init(
    config: WandbConfig | None,
    folder: Path,
    experiment: Experiment | Record,
    facts: Mapping[str, Any],
    given: Mapping[str, Any] | None,
) -> WandbLogger:
    """A wandb run, the one of the start before if it can be continued; silent where wandb is off or fails."""
    if config is None:
        return WandbLogger(None)
    mode = select_mode(config) if given is None else "offline"
    if mode == "disabled":
        return WandbLogger(None)
    try:
        before, earlier_files = read_run_file(folder), offline_files(folder)
        arguments = run_arguments(config, folder, experiment) if given is None else {**given, "dir": folder}
        continues = _continues(before, mode, arguments)
        earlier_id = before.get("id") if continues else None
        run = _start_run(folder, earlier_id, mode, arguments, {**_describe(experiment), **facts})
        counted = {name: facts[name] for name in ("params", "gmacs") if name in facts}
        run.summary.update({"status": "running", **counted})
        # Offline, wandb does not look up the login's entity, where an earlier online start had it.
        entities = {before.get("entity"), "" if before.get("url") else None}
        is_same = (run.id, run.project) == (before.get("id"), before.get("project")) and run.entity in entities
        is_new = run.offline or not (continues and is_same)
        if is_new:
            update_run_file(folder, step_offset=0, starting_step=None)
        return WandbLogger(run, folder, is_new, earlier_files, None if is_new else before)
    except Exception as error:  # no disk, no network, a broken installation: none of it is the run's fault
        logger.warning(f"wandb could not start ({error}); training continues without it")
        return WandbLogger(None)


def _start_run(
    folder: Path, earlier_id: str | None, mode: WandbMode, arguments: Mapping[str, Any], config: Mapping[str, Any]
) -> Any:
    """Start the wandb run with this id, or a new one, and write it to run.json. Arguments are those of wandb.init."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # wandb sends its own errors, also of offline runs
    import wandb  # takes a second

    if is_agent():
        earlier_id = os.environ.get("WANDB_RUN_ID") or earlier_id
    run_id = earlier_id or secrets.token_hex(4)
    if not read_run_file(folder):  # before wandb has a run, so that a process that is killed now continues the same one
        update_run_file(folder, id=run_id)
    run = wandb.init(
        **arguments,
        mode=mode,
        config={**config},
        id=run_id,
        resume="allow" if earlier_id and mode == "online" else None,  # None: wandb forgets what it has of this id
        # Without a limit, `finish` waits for a lost connection for ever, and a job is not requeued in time.
        settings=wandb.Settings(silent=True, console="off", finish_timeout=FINISH_SECONDS, finish_timeout_raises=True),
    )
    url = None if run.offline else run.url  # which warns offline that there is none
    lasting = {name: value for name, value in arguments.items() if name != "dir"}
    where = {"id": run.id, "entity": run.entity, "project": run.project, "url": url}
    update_run_file(folder, **where, arguments=lasting, is_complete=False)
    for axis in ("epoch", STEP_AXIS):
        run.define_metric(axis)
    for metrics, axis in AXES.items():
        run.define_metric(metrics, step_metric=axis)
    logger.info(f"wandb: {url}" if url else f"wandb: offline run {run.id}; modernet sync uploads it")
    return run


def _describe(experiment: Experiment | Record) -> dict[str, Any]:
    """The config of the run at wandb: what decides its result, and its names."""
    names = {"step": experiment.step, "variant": experiment.variant, "size": experiment.size, "hash": experiment.hash}
    return experiment.config | names


@contextmanager
def wandb_run(
    config: WandbConfig | None,
    folder: Path,
    experiment: Experiment | Record,
    facts: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Iterator[WandbLogger]:
    """A wandb run of a training, with its files below `folder`; it ends with the context. None logs nothing.

    `facts` (costs, machine, versions) are added to its config. `arguments` of wandb.init replace those of the config
    and of the environment, for a run that is logged offline once more.
    """
    wandb_logger = _init(config, folder, experiment, facts or {}, arguments)
    status = 1
    try:
        yield wandb_logger
        status = 0
    finally:
        wandb_logger.close(status)
