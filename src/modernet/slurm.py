"""Slurm, where it runs: whether it answers, and how a job that it stopped gets back into its queue."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from modernet.errors import Stopped, UserError
from modernet.log import logger
from modernet.place import read_environment
from modernet.stop import WARNINGS, Stop


def _call(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def check() -> None:
    """Raises UserError where no job can be submitted from here."""
    from submitit.core.logger import get_logger  # only here: it takes a while

    # It says everything on stdout as well, and there are the paths of the records alone.
    get_logger().handlers = [handler for handler in get_logger().handlers if handler.get_name() != "submitit_out"]
    if shutil.which("sbatch") is None:
        raise UserError("hydra/launcher=slurm needs Slurm, and there is no sbatch here; allowed here: basic, joblib")
    try:
        answer = _call("sinfo", "--noheader")
    except subprocess.TimeoutExpired:
        raise UserError("hydra/launcher=slurm needs a cluster, and Slurm's controller does not answer") from None
    if answer.returncode != 0:
        reason = (answer.stderr.strip().splitlines() or ["sinfo failed"])[-1]
        raise UserError(f"hydra/launcher=slurm needs a cluster, and Slurm's controller does not answer ({reason})")


def wait(name: str) -> None:
    """Until no job of this name waits or runs."""
    while _call("squeue", "--noheader", f"--name={name}").stdout.strip():
        time.sleep(5)


@contextmanager
def requeued(stop: Stop) -> Iterator[None]:
    """Put this job back into the queue where Slurm warned it of its end: there it goes on from what it saved.

    What takes a job away at once, by SIGTERM, requeues it by itself if it should be.
    """
    try:
        yield
    except Stopped:
        job = os.environ.get("SLURM_JOB_ID")
        if job and stop.asked in WARNINGS and read_environment().first:
            answer = _call("scontrol", "requeue", job)
            if answer.returncode != 0:
                logger.warning(f"job {job} could not be requeued ({answer.stderr.strip()})")
        raise
