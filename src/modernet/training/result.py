"""The record of a run, from its state and from where it was trained."""

import os
import socket
from collections.abc import Sequence
from typing import Any

import torch

from modernet.config.experiment import Experiment
from modernet.config.schema import ExecutionConfig
from modernet.models.flops import ModelCost
from modernet.record import Record
from modernet.runtime.collectives import all_gather
from modernet.runtime.device import device_name
from modernet.runtime.provenance import cpu_model, current_commit, package_versions, utc_now
from modernet.training.state import TrainPlan, TrainState, uses_bf16, uses_compile


def describe_machine(
    execution: ExecutionConfig, plan: TrainPlan, device: torch.device, num_workers: int
) -> dict[str, Any]:
    """How the work is done, for the log and the record."""
    layout = plan.layout
    return {
        "devices": layout.env.world_size,
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "micro_batch_size": layout.micro_batch_size,
        "grad_accum_steps": layout.grad_accum_steps,
        "amp": "bf16" if uses_bf16(execution, device) else "off",
        "compile": uses_compile(execution, device, plan),
        "channels_last": execution.channels_last,
        # Whether the same command on this machine gives the same result bit for bit.
        "deterministic": device.type == "cpu" or execution.deterministic,
        "num_workers": num_workers,
    }


def describe_origin(device: torch.device, overrides: Sequence[str]) -> dict[str, Any]:
    """Where and with which software the work is done, as fields of the record. Every rank must call it."""
    on_gpu = device.type == "cuda"
    versions = package_versions() | {"torch": torch.__version__}  # with the build, e.g. +cu132
    if on_gpu:
        versions |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return {
        "device": device_name(device),
        "torch": torch.__version__,
        "commit": current_commit(),
        "host": socket.gethostname(),
        "cpu": cpu_model(),
        "gpus": tuple(all_gather(device_name(device))) if on_gpu else (),
        "versions": versions,
        "overrides": tuple(overrides),
    }


def build_record(
    experiment: Experiment,
    cost: ModelCost,
    state: TrainState,
    failure: str | None,
    machine: dict[str, Any],
    origin: dict[str, Any],
) -> Record:
    """The record of a run that has ended; `failure` is why it failed, if it did."""
    epochs = state.epochs
    last = epochs[-1] if epochs and failure is None else None
    best = max(epochs, key=lambda epoch: epoch.top1) if last else None  # the first of equal ones
    seconds = sum(epoch.train_seconds for epoch in epochs)
    images = sum(epoch.train_seconds * epoch.images_per_second for epoch in epochs)
    return Record(
        step=experiment.step,
        variant=experiment.variant,
        protocol=experiment.protocol,
        size=experiment.size,
        seed=experiment.seed,
        data=experiment.data.name,
        recipe=experiment.recipe.name,
        params=cost.params,
        gmacs=cost.gmacs,
        top1=last and last.top1,
        top5=last and last.top5,
        val_loss=last and last.val_loss,
        epochs=len(epochs),
        train_seconds=seconds,
        images_per_second=images / seconds if seconds else 0.0,
        status="failed" if failure else "done",
        config=experiment.config,
        top1_ema=last and last.top1_ema,
        reason=failure,
        machine=machine,
        metrics=last.metrics if last else {},
        best_top1=best and best.top1,
        best_epoch=best and best.epoch,
        started=state.started,
        ended=utc_now(),
        **origin,
    )
