"""Sweeps on a real Slurm cluster, of which a job or the sweep itself gets a signal."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from trials.parents import MAX_SECONDS, call, find_faults, outcomes, start_command
from trials.processes import EVERYTHING, remove
from trials.trial import Trial

CLUSTER = Path(__file__).parents[1] / "slurm_test_cluster.sh"
PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged")
REPETITIONS = 3
ENDS = 20  # seconds after the last job
SWEEP = (sys.executable, "train.py", "-m", "seed=0,1", *EVERYTHING, "wandb=offline")
LAUNCHER = ("hydra/launcher=slurm", "hydra.launcher.gpus_per_node=null", "hydra.launcher.cpus_per_task=1")
JOB_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)  # Slurm sends the last one before the time limit
SQUEUE = ("squeue", "--noheader", "--array", "--format=%i")


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """The same command, once all jobs have ended, gives the results of a sweep on this machine."""
    if not all(map(shutil.which, PROGRAMS)) or os.geteuid() != 0:
        print(f"slurm: left out, as it needs root and {', '.join(PROGRAMS)}", file=sys.stderr)
        return
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="modernet-") as name, _cluster():
        status = call(SWEEP, Path(name) / "here")
        reference = outcomes(Path(name) / "here")
        began = time.monotonic()
        there = call([*SWEEP, *LAUNCHER], Path(name) / "there")
        seconds = time.monotonic() - began
        faults = [] if (status, there, len(reference)) == (0, 0, 2) else [f"statuses {status}, {there}"]
        faults += find_faults(Path(name) / "there", reference)
        yield Trial("a sweep by Slurm gives the records of this machine", not faults, f"{'; '.join(faults)}, {name}")
        if faults:
            return
        for number in JOB_SIGNALS[:1] if short else JOB_SIGNALS:
            for repetition in range(1 if short else REPETITIONS):
                folder = Path(name) / f"{number.name}-{repetition}"
                yield _stop(f"{number.name} of a job", number, folder, rng, seconds, reference)
        for repetition in range(0 if short else REPETITIONS):
            yield _stop("SIGKILL of the sweep", None, Path(name) / f"sweep-{repetition}", rng, seconds, reference)


@contextmanager
def _cluster() -> Iterator[None]:
    """A cluster that commands reach by the environment."""
    conf = subprocess.run([CLUSTER, "up"], capture_output=True, text=True, check=True).stdout.strip()
    with patch.dict(os.environ, {"SLURM_CONF": conf}):
        try:
            yield
        finally:
            subprocess.run([CLUSTER, "down"], check=True)


def _jobs(*options: str) -> list[str]:
    return subprocess.run([*SQUEUE, *options], capture_output=True, text=True, check=True).stdout.split()


def _stop(
    what: str,
    number: signal.Signals | None,
    runs: Path,
    rng: random.Random,
    seconds: float,
    reference: dict[str, dict[str, Any]],
) -> Trial:
    """A job gets the signal; without a number, the sweep's own process is killed."""
    was_sent, delay = False, 0.0
    while not was_sent:  # a sweep whose jobs have ended before is started again
        remove(runs)
        delay = rng.uniform(0, delay or seconds)
        process = start_command([*SWEEP, *LAUNCHER], runs, uuid.uuid4().hex)
        time.sleep(delay)
        if number is None:
            was_sent = process.poll() is None
            process.kill()
        else:
            was_sent = _signal_job(number, process, rng)
        for _ in range(MAX_SECONDS):  # jobs live on without their sweep
            if not _jobs():
                break
            time.sleep(1)
        _end(process)
    status = call([*SWEEP, *LAUNCHER], runs)
    faults = [f"status {status}"] if status else []
    faults += find_faults(runs, reference)
    if not faults:
        remove(runs)
    return Trial(
        f"{what}: the same command gives the same result",
        not faults,
        f"{'; '.join(faults)} after {delay:.1f} s, {runs}",
    )


def _end(process: subprocess.Popen[str]) -> None:
    """End a sweep that waits for a job which died: without Slurm's accounting, submitit cannot see that it did."""
    try:
        process.wait(ENDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _signal_job(number: signal.Signals, process: subprocess.Popen[str], rng: random.Random) -> bool:
    """Send the signal as soon as a job runs; False where the sweep has ended."""
    while process.poll() is None:
        if jobs := _jobs("--states=RUNNING"):
            words = ["scancel", f"--signal={number.name.removeprefix('SIG')}", rng.choice(jobs)]
            if subprocess.run(words, check=False).returncode == 0:
                return True
        time.sleep(0.2)
    return False
