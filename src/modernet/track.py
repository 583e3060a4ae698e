"""wandb, or nothing, behind the same calls. The record is the source; this is a copy for dashboards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modernet.experiment import Experiment
from modernet.log import logger
from modernet.record import Record

if TYPE_CHECKING:
    from modernet.training import Epoch

Mode = Literal["offline", "online", "disabled"]
PROJECT = "modernet"  # WANDB_PROJECT and WANDB_ENTITY, as all of wandb's variables, win over it
SUMMARY = ("top1", "top5", "top1_ema", "val_loss", "gmacs", "params", "images_per_second", "train_seconds", "status")


class Tracker:
    """One wandb run, or nothing where `run` is None. What wandb cannot do is said once, and costs no training."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.id: str | None = run.id if run else None  # by which a resumed run goes on as the same one

    def epoch(self, epoch: "Epoch") -> None:
        self._attempt(lambda run: run.log(asdict(epoch), step=epoch.epoch))

    def result(self, record: Record) -> None:
        values = {name: value for name, value in asdict(record).items() if name in SUMMARY and value is not None}
        self._attempt(lambda run: run.summary.update(values))

    def finish(self, status: int) -> None:
        self._attempt(lambda run: run.finish(exit_code=status))

    def _attempt(self, call: Callable[[Any], Any]) -> None:
        if self.run is None:
            return
        try:
            call(self.run)
        except Exception as error:
            logger.warning(f"wandb stopped working ({error}); the training goes on without it")
            self.run = None


def _start(mode: Mode, folder: Path, run: Experiment, id: str | None) -> Any:
    """A wandb run, or None where it is disabled or cannot start."""
    if mode == "disabled":
        return None
    try:
        import wandb  # takes a second

        made = wandb.init(
            project=PROJECT,
            dir=folder,
            id=id,
            resume="allow" if id else None,
            mode=mode,
            name=run.name,
            group=f"{run.protocol}/{run.variant}"[:128],  # wandb's limit
            tags=[run.step],
            config=run.science | {"step": run.step, "variant": run.variant, "size": run.size},
            settings=wandb.Settings(silent=True, console="off"),
        )
        made.define_metric("epoch")
        made.define_metric("*", step_metric="epoch", summary="none")  # the summary is the record's
        return made
    except Exception as error:  # no disk, no network, a broken installation: none of it is the training's
        logger.warning(f"wandb could not start ({error}); the training goes on without it")
        return None


@contextmanager
def started(mode: Mode, folder: Path, run: Experiment, id: str | None) -> Iterator[Tracker]:
    """A run below `folder`, grouped by protocol and variant, that ends with the context, however that ends."""
    tracker = Tracker(_start(mode, folder, run, id))
    status = 1
    try:
        yield tracker
        status = 0
    finally:
        tracker.finish(status)
