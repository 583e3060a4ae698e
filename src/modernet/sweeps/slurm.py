"""Slurm, where it runs: whether it answers, and how a job that it stopped gets back into its queue."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from modernet.errors import Interrupted, UserError
from modernet.runtime.logging import logger
from modernet.runtime.distributed import distributed_env
from modernet.runtime.signals import SLURM_WARNINGS, ShutdownSignal

# Fields of the launcher that a cluster may refuse, as sbatch calls them.
ASKED = {
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "gres": "gres",
    "nodes": "nodes",
    "tasks_per_node": "ntasks-per-node",
    "gpus_per_node": "gpus-per-node",
    "cpus_per_task": "cpus-per-task",
    "timeout_min": "time",
}


def _call(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def _refused(*command: str) -> str | None:
    """Why a command of Slurm's fails; None where it does not."""
    try:
        answer = _call(*command)
    except subprocess.TimeoutExpired:
        return f"{command[0]} hangs"
    if answer.returncode == 0:
        return None
    return (answer.stderr.strip().splitlines() or [f"{command[0]} failed"])[-1]


def check(launcher: Mapping[str, Any]) -> None:
    """Raises UserError where jobs like this launcher's cannot be submitted from here."""
    if shutil.which("sbatch") is None:
        raise UserError("hydra/launcher=slurm needs Slurm, and there is no sbatch here; allowed here: basic, joblib")
    if reason := _refused("sinfo", "--noheader"):
        raise UserError(f"hydra/launcher=slurm needs a cluster, and Slurm's controller does not answer ({reason})")
    asked = {f"--{flag}={launcher[name]}": name for name, flag in ASKED.items() if launcher.get(name) is not None}
    if reason := _refused("sbatch", "--test-only", "--wrap=true", *asked):
        fields = ", ".join(f"hydra.launcher.{name}={launcher[name]}" for name in asked.values())
        raise UserError(f"Slurm takes no job of {fields} ({reason})")

    from submitit.core.logger import get_logger  # only here: it takes a while

    # It says everything on stdout as well, and there are the paths of the records alone.
    get_logger().handlers = [handler for handler in get_logger().handlers if handler.get_name() != "submitit_out"]


def wait(name: str) -> None:
    """Until no job of this name waits or runs."""
    while _call("squeue", "--noheader", f"--name={name}").stdout.strip():
        time.sleep(5)


@contextmanager
def requeue_on_warning(shutdown: ShutdownSignal) -> Iterator[None]:
    """Put this job back into the queue where Slurm warned it of its end: there it goes on from what it saved.

    What takes a job away at once, by SIGTERM, requeues it by itself if it should be.
    """
    try:
        yield
    except Interrupted:
        job = os.environ.get("SLURM_JOB_ID")
        if job and shutdown.requested in SLURM_WARNINGS and distributed_env().is_main_process:
            answer = _call("scontrol", "requeue", job)
            if answer.returncode != 0:
                logger.warning(f"job {job} could not be requeued ({answer.stderr.strip()})")
        raise
