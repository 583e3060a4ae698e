"""Slurm: whether a launcher's jobs would be accepted, and requeueing a job that Slurm warned of its end."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from modernet.errors import Interrupted, UserError
from modernet.runtime.distributed import distributed_env
from modernet.runtime.logging import logger
from modernet.runtime.signals import SLURM_WARNINGS, ShutdownSignal

# Field of the launcher -> the option of sbatch, for fields that a cluster may refuse.
SBATCH_OPTIONS = {
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
QUEUE_POLL_SECONDS = 5
ANSWER_SECONDS = 60  # for the controller to answer


def _answer(*command: str) -> subprocess.CompletedProcess[str] | None:
    """The result of a command of Slurm; None where the controller does not answer in time."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _reason_to_refuse(*command: str) -> str | None:
    """Why a command of Slurm fails; None where it succeeds."""
    answer = _answer(*command)
    if answer is None:
        return f"{command[0]} does not answer"
    if answer.returncode == 0:
        return None
    return (answer.stderr.strip().splitlines() or [f"{command[0]} failed"])[-1]


def check_launcher(launcher: Mapping[str, Any]) -> None:
    """Raises UserError where jobs of this launcher cannot be submitted from this machine."""
    try:
        from submitit.core.logger import get_logger  # takes a while
    except ImportError as error:
        raise UserError("hydra/launcher=slurm needs submitit: pip install 'modernet[slurm]'") from error
    if shutil.which("sbatch") is None:
        raise UserError(
            "hydra/launcher=slurm needs Slurm, and this machine has no sbatch; allowed here: local, basic, joblib"
        )
    if reason := _reason_to_refuse("sinfo", "--noheader"):
        raise UserError(f"hydra/launcher=slurm needs a cluster, and Slurm's controller does not answer ({reason})")
    options = {
        f"--{option}={launcher[name]}": name
        for name, option in SBATCH_OPTIONS.items()
        if launcher.get(name) is not None
    }
    if reason := _reason_to_refuse("sbatch", "--test-only", "--wrap=true", *options):
        fields = ", ".join(f"hydra.launcher.{name}={launcher[name]}" for name in options.values())
        raise UserError(f"Slurm refuses a job of {fields} ({reason})")
    # submitit also logs to stdout, which is for the paths of the records.
    get_logger().handlers = [handler for handler in get_logger().handlers if handler.get_name() != "submitit_out"]


def wait_for_jobs(name: str) -> None:
    """Wait until no job of this name is queued or runs; a controller that does not answer is asked again."""
    while (answer := _answer("squeue", "--noheader", f"--name={name}")) is None or answer.stdout.strip():
        time.sleep(QUEUE_POLL_SECONDS)


@contextmanager
def requeue_on_warning(shutdown: ShutdownSignal) -> Iterator[None]:
    """Requeue this job where Slurm warned it of its end; the run resumes from its checkpoint.

    A job that Slurm preempts at once, by SIGTERM, is requeued by Slurm itself if it should be.
    """
    try:
        yield
    except Interrupted:
        job = os.environ.get("SLURM_JOB_ID")
        if job and shutdown.requested in SLURM_WARNINGS and distributed_env().is_main_process:
            answer = _answer("scontrol", "requeue", job) or _answer("scontrol", "requeue", job)
            if answer is None or answer.returncode != 0:
                reason = answer.stderr.strip() if answer else "scontrol does not answer"
                logger.warning(f"job {job} could not be requeued ({reason})")
        raise
