"""Where wandb has a run: its environment variables win over the config's `wandb`, which wins over defaults."""

import os
from pathlib import Path
from typing import Any, Literal

from modernet.config.experiment import Experiment
from modernet.config.schema import WandbConfig
from modernet.errors import UserError
from modernet.record import Record

WandbMode = Literal["offline", "online", "disabled"]
MODES: dict[str, WandbMode] = {
    "offline": "offline",
    "online": "online",
    "disabled": "disabled",
    "dryrun": "offline",  # wandb's older names
    "run": "online",
}
MAX_NAME_LENGTH = 128  # wandb's limit for names and groups

# Argument of wandb.init -> the environment variable that wins over it.
VARIABLES = {
    "project": "WANDB_PROJECT",
    "entity": "WANDB_ENTITY",
    "group": "WANDB_RUN_GROUP",
    "job_type": "WANDB_JOB_TYPE",
    "name": "WANDB_NAME",
    "tags": "WANDB_TAGS",
    "notes": "WANDB_NOTES",
    "dir": "WANDB_DIR",
}


def is_agent() -> bool:
    """Whether `wandb agent` started this process for a run of its sweep."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


def check_environment() -> None:
    """Raises UserError for an unknown WANDB_MODE."""
    mode = os.environ.get("WANDB_MODE")
    if mode and mode not in MODES:
        raise UserError(f"WANDB_MODE must be one of offline, online, disabled, got {mode!r}")


def select_mode(config: WandbConfig) -> WandbMode:
    """WANDB_MODE, or the config's mode; `auto` is offline, and online under `wandb agent`."""
    check_environment()
    if variable := os.environ.get("WANDB_MODE"):
        return MODES[variable]
    if config.mode == "auto":
        return "online" if is_agent() else "offline"
    return config.mode


def _with_variables(**arguments: Any) -> dict[str, Any]:
    """Arguments of wandb.init; an environment variable wins, also one that was set after wandb was imported."""
    given: dict[str, Any] = {name: value for name in arguments if (value := os.environ.get(VARIABLES[name]))}
    if "tags" in given:
        given["tags"] = [tag.strip() for tag in given["tags"].split(",")]
    if "dir" in given:  # wandb would write into a temporary folder where it is missing or may not be written
        Path(given["dir"]).mkdir(parents=True, exist_ok=True)
        if not os.access(given["dir"], os.W_OK):
            raise OSError(f"WANDB_DIR={given['dir']} may not be written")
    return arguments | given


def run_arguments(config: WandbConfig, folder: Path, experiment: Experiment | Record) -> dict[str, Any]:
    """Arguments of wandb.init that say what a training is called and where it is logged.

    Names differ between protocols and sizes: cifar10/t/gelu-s0. The group has the seeds of one variant.
    """
    group, ending = f"{experiment.protocol}/{experiment.size}/{experiment.variant}", f"-s{experiment.seed}"
    return _with_variables(
        project=config.project,
        entity=config.entity,
        group=(config.group or group)[:MAX_NAME_LENGTH],
        job_type="train",
        name=group[: MAX_NAME_LENGTH - len(ending)] + ending,
        tags=list(config.tags) or [experiment.step],
        notes=config.notes,
        dir=folder,
    )
