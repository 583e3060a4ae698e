"""One run from data to record: the parts put together, and what is left of it on every way out."""

import errno
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from modernet import checkpoint, data, lock, record, track
from modernet.costs import Cost, cost
from modernet.device import device_name, pick_device
from modernet.errors import Busy, DiskFull, Ending, Stopped, one_line_of
from modernet.experiment import Experiment
from modernet.fit import Diverged, Keeper, check, fit
from modernet.log import logging_to
from modernet.place import Place, read_environment, share_of
from modernet.record import Record
from modernet.spec import Machine
from modernet.stop import Stop
from modernet.together import agree, joined
from modernet.training import Plan, Training, is_compiled, prepare, uses_bf16

WEIGHTS = "model.pt"  # state dicts by name: `model`, and `average` where the recipe has EMA


def train(run: Experiment, folder: Path, how: Machine, wandb: track.Mode, stop: Stop) -> Record:
    """The experiment on this machine, from where it was left in `folder`; its record says `failed` where it diverged.

    Raises Stopped where it was asked to stop, and DiskFull: after both the same command goes on from a checkpoint.
    Raises Busy where another process trains it. Any other exception leaves a record that says `failed`, and why.
    """
    place = read_environment()
    device = pick_device(how.device, place.local)
    with joined(place, device), _told_when_full(folder):
        share = share_of(place, run.recipe.batch_size, how.device_batch)
        loader = data.load(run.data, run.recipe, run.seed, share, device, how.workers)
        check(run.model, run.recipe, run.data, loader.images)
        plan = Plan(run.recipe, loader.images // run.recipe.batch_size, run.seed, share)
        price = cost(run.model, run.data.image_size, run.data.classes)
        training = prepare(run.model, run.data.classes, plan, how, device)
        used = _used(how, plan, device)

        with _alone(folder, place):
            found = record.found(folder)
            if found and found.status == "done":  # by another process, while this one got ready
                return found
            if place.first:
                record.write_text(folder / "config.yaml", OmegaConf.to_yaml(run.science))
            log_file = folder / "train.log" if place.first else None
            with logging_to(log_file, run.name, append=checkpoint.last(folder) is not None) as log:
                log.info(f"{run.title}: {price.params:,} parameters, {price.gmacs:.4f} GMACs")
                log.info(f"{share} ({', '.join(f'{name} {value}' for name, value in used.items())})")
                state = checkpoint.load(folder)
                if state:
                    training.restore(state, place)
                    log.info(f"going on from step {training.step} of {plan.total}")
                mode = wandb if place.first else "disabled"
                with track.started(mode, folder, run, state["wandb"] if state else None) as tracker:
                    keeper = Keeper(folder, how.checkpoint_minutes, place, stop, {"wandb": tracker.id})
                    reason = None
                    try:
                        for epoch in fit(training, loader, plan, keeper):
                            log.info(epoch)
                            tracker.epoch(epoch)
                            if place.first:
                                _write_metrics(folder, training)
                    except (Ending, OSError) as error:  # none of them the run's fault: it goes on another time
                        if place.first and isinstance(error, Stopped):
                            log.warning(error)
                        raise
                    except Exception as error:
                        expected = isinstance(error, Diverged)
                        reason = str(error) if expected else one_line_of(error)
                        log.error(reason, exc_info=not expected)
                    finished = _record(run, price, training, used, device, reason)
                    tracker.result(finished)
                if place.first:
                    _conclude(folder, training, finished)
        return finished


@contextmanager
def _alone(folder: Path, place: Place) -> Iterator[None]:
    """Make the run's folder and hold its lock, rank 0 for all. Raises Busy in each process where another holds it."""
    with ExitStack() as stack:
        busy = None
        if place.first:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(lock.held(folder))
            except Busy as error:
                busy = error
        if agree(place, int(busy is not None)):
            raise busy or Busy(f"{folder} is being trained by other processes")
        yield


@contextmanager
def _told_when_full(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        last = checkpoint.last(folder) or "none"
        raise DiskFull(f"no space is left on the disk of {folder}; the last good checkpoint: {last}") from error


def _used(how: Machine, plan: Plan, device: torch.device) -> dict[str, Any]:
    """What the record says of the machine."""
    return {
        "devices": plan.share.place.world,
        "threads": torch.get_num_threads(),
        "device_batch": plan.share.device_batch,
        "accumulated": plan.share.passes,
        "amp": "bf16" if uses_bf16(how, device) else "off",
        "compile": is_compiled(how, device, plan),
        "channels_last": how.channels_last,
    }


def _write_metrics(folder: Path, training: Training) -> None:
    """All epochs anew: a run that was resumed has the file of one that was not."""
    lines = (json.dumps(asdict(epoch)) + "\n" for epoch in training.epochs)
    record.write_text(folder / record.METRICS, "".join(lines))


def _record(
    run: Experiment, price: Cost, training: Training, used: dict[str, Any], device: torch.device, reason: str | None
) -> Record:
    last = training.epochs[-1] if training.epochs and reason is None else None
    seconds = sum(epoch.train_seconds for epoch in training.epochs)
    images = sum(epoch.train_seconds * epoch.images_per_second for epoch in training.epochs)
    return Record(
        step=run.step,
        variant=run.variant,
        protocol=run.protocol,
        size=run.size,
        seed=run.seed,
        data=run.data.name,
        recipe=run.recipe.name,
        params=price.params,
        gmacs=price.gmacs,
        top1=last and last.top1,
        top5=last and last.top5,
        val_loss=last and last.val_loss,
        epochs=len(training.epochs),
        train_seconds=seconds,
        images_per_second=images / seconds if seconds else 0.0,
        device=device_name(device),
        torch=torch.__version__,
        commit=record.commit(),
        status="failed" if reason else "done",
        config=run.science,
        top1_ema=last and last.top1_ema,
        reason=reason,
        machine=used,
    )


def _conclude(folder: Path, training: Training, finished: Record) -> None:
    """The weights, then the record, which makes the run a finished one, and then no more checkpoints."""
    if finished.status == "failed":
        record.write(folder, finished)
        return
    weights = {"model": training.model.state_dict()}
    if training.average:
        weights["average"] = training.average.module.state_dict()
    checkpoint.write_bytes(folder / WEIGHTS, checkpoint.packed(weights))
    record.write(folder, finished)
    checkpoint.remove(folder)
    lock.remove(folder)
