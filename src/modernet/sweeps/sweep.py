"""Many runs: finished runs are skipped, the others are launched, and a run that fails or dies stops no other."""

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType
from typing import Any

from hydra.core.utils import JobReturn
from tqdm import tqdm

from modernet.errors import Interrupted, RunFailed, UserError
from modernet.record import find_record
from modernet.runtime.distributed import distributed_env
from modernet.runtime.file_names import RECORD_FILE
from modernet.runtime.lock import is_locked, lock_holder
from modernet.runtime.logging import sweep_terminal
from modernet.runtime.signals import answer, restore, stop_signals
from modernet.runtime.streams import discard
from modernet.runtime.text import describe
from modernet.sweeps import slurm
from modernet.sweeps.jobs import Job, launcher_kind
from modernet.sweeps.status import show_status
from modernet.training.leftovers import remove_leftovers
from modernet.training.renamed import name_warnings

Launch = Callable[[list[list[str]]], Sequence[JobReturn]]


def run_sweep(jobs: list[Job], launch: Launch, launcher: Any) -> None:
    """Launch the unfinished jobs and print the path of every record.

    `launch` takes the overrides of each run, `launcher` is the config node of Hydra's launcher. Raises UserError where
    Slurm refuses such jobs or each of several processes would launch some, and RunFailed where some runs are not done
    in the end.
    """
    kind = launcher_kind(launcher)
    if distributed_env().world_size > 1 and kind not in ("LocalLauncher", "BasicLauncher"):
        raise UserError(
            "the processes that torchrun or srun starts train one run after the other; leave hydra/launcher= out, or "
            "start the sweep as one process"
        )
    where, wait = "", lambda: None
    if kind == "SlurmLauncher":
        slurm.check_launcher(launcher)
        where = f" by Slurm as {launcher['name']}, logs in {Path(launcher['submitit_folder']).parent}"
        wait = partial(slurm.wait_for_jobs, launcher["name"])
    results = {job.folder: job.result() for job in jobs}
    todo = [job for job in jobs if results[job.folder] is None]
    counts = Counter(record.status for record in results.values() if record)
    before = "".join(f"{number} {status}, " for status, number in sorted(counts.items()))
    _print(
        f"{len(jobs)} run{'s' * (len(jobs) != 1)}: {before}{len(todo)} to train{where if todo else ''}", to_stderr=True
    )
    finished = [(job.folder, record, job.experiment) for job in jobs if (record := results[job.folder]) is not None]
    for warning in name_warnings(finished):
        _print(f"warning: {warning}", to_stderr=True)
    reasons: dict[Path, str] = {}
    if todo:
        _check_writable(todo[0].folder.parent)
        with ExitStack() as stack:
            if kind in ("LocalLauncher", "JoblibLauncher"):
                stack.enter_context(_forward_signals(todo))
            stack.enter_context(sweep_terminal())
            if distributed_env().is_main_process:
                stack.enter_context(show_status(jobs, todo))
            reasons = _launch_all(todo, launch, wait)
    _report(jobs, reasons)


def _check_writable(folder: Path) -> None:
    """Raises OSError, which names the folder, where the runs of a sweep cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def _print(*lines: object, to_stderr: bool = False) -> None:
    """Print lines on the main process alone: torchrun starts a sweep in every process."""
    if distributed_env().is_main_process:
        print(*lines, sep="\n", file=sys.stderr if to_stderr else sys.stdout, flush=True)


def _launch_all(todo: list[Job], launch: Launch, wait: Callable[[], None]) -> dict[Path, str]:
    """Launch jobs; returns by folder why a run has no record.

    A process that dies ends the other processes of its launcher. The runs that had not started are launched again, and
    then each of those that had started is launched alone, so that the one that dies ends no other.
    """
    reasons: dict[Path, str] = {}

    def try_launch(jobs: list[Job]) -> bool:
        try:
            returns = launch([job.overrides for job in jobs])
        except Exception as error:
            tqdm.write(f"a run's process died ({describe(error)})", file=sys.stderr)
            wait()
            return False
        for job, returned in zip(jobs, returns, strict=True):
            if isinstance(returned._return_value, Exception):  # the property would print it before it raises
                reasons[job.folder] = str(returned._return_value)
        return True

    alone: list[Job] = []
    while todo and not try_launch(todo):
        left = [job for job in todo if job.result() is None]
        started = [job for job in left if job.folder.exists()] or left
        alone += started
        todo = [job for job in left if job not in started]
    for job in alone:
        if not try_launch([job]):
            reasons[job.folder] = "its process died"
    return reasons


def _report(jobs: list[Job], reasons: dict[Path, str]) -> None:
    """Print the paths of the records, and why runs are not done. Raises RunFailed where some are not."""
    missing, paths = [], []
    for job in jobs:
        record, path = find_record(job.folder), job.folder / RECORD_FILE
        if record and record.status == "done":
            if distributed_env().is_main_process:
                remove_leftovers(job.folder)
            paths.append(path)
            continue
        found = f"{record.reason} ({path}); retry_failed=true trains it again" if record else "it did not finish"
        missing.append(f"{job.experiment.title}: {reasons.get(job.folder, found)}")
    if missing:
        _print(*missing, to_stderr=True)
    try:
        if paths:
            _print(*paths)
    except BrokenPipeError:  # the reader has read enough; whether all runs are done, the exit status says
        discard(sys.stdout)
    if missing:
        raise RunFailed(f"{len(missing)} of {len(jobs)} runs are not done, for the reasons above")


@contextmanager
def _forward_signals(jobs: list[Job]) -> Iterator[None]:
    """Forward signals to the worker processes, and exit once they have saved the runs they are training."""
    received: list[str] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number).name)
        answer(number)
        workers = [process.pid for process in multiprocessing.active_children() if process.pid]
        # `timeout` sends SIGTERM to them as well, and the same signal again ends a run before it has saved.
        other = getattr(signal, "SIGUSR1", signal.SIGTERM) if number == signal.SIGTERM else signal.SIGTERM
        for worker in workers:
            os.kill(worker, other)
        while any(is_locked(job.folder) and lock_holder(job.folder) in workers for job in jobs):
            time.sleep(0.05)
        sys.exit(Interrupted.status)

    handlers = {number: signal.signal(number, stop) for number in stop_signals()}
    try:
        yield
    except SystemExit:
        if received:
            _print(f"stopped by {received[0]}; rerun the same command to go on", to_stderr=True)
        raise
    finally:
        restore(handlers)
