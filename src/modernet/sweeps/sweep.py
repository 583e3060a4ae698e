"""Many runs, named as Hydra's sweeps name them: all checked first, what is done is found, the rest is launched."""

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from modernet.config import experiment
from modernet.runtime import lock
from modernet import record
from modernet.sweeps import slurm
from modernet.errors import RunFailed, one_line_of
from modernet.config.experiment import Experiment
from modernet.record import Record

Launch = Callable[[list[list[str]]], Sequence[JobReturn]]


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    overrides: list[str]  # as on the command line of a run by itself
    run: Experiment
    folder: Path
    retry_failed: bool

    def record(self) -> Record | None:
        return record.found(self.folder)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do: done, or failed and not to be tried again."""
        found = self.record()
        return found is not None and (found.status == "done" or not self.retry_failed)


def expand(arguments: list[str]) -> list[Job]:
    """The runs that these arguments of `train.py -m` name, each once. Call it while Hydra is running.

    Raises what explains the first mistake in any of them.
    """
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    (combinations,) = BasicSweeper.split_arguments(parser.parse_overrides(arguments), max_batch_size=None)
    jobs = {}

    @cache
    def composed(*overrides: str) -> DictConfig:
        return hydra.compose("config", [*overrides])

    for overrides in combinations:
        seeds = [word for word in overrides if word.startswith("seed=")]
        config = composed(*(word for word in overrides if word not in seeds)).copy()
        for seed in seeds:  # all that differs between most runs: composing is what takes the time
            config.seed = parser.parse_override(seed).value()
        run = experiment.from_config(config)
        experiment.machine(config)
        folder = run.folder(Path(config.runs))
        jobs.setdefault(run.hash, Job(overrides, run, folder, config.retry_failed))
    return list(jobs.values())


def run(jobs: list[Job], launch: Launch, launcher: Any) -> None:
    """Launch what is not done, and print the path of every record. Raises RunFailed where a run has none in the end.

    `launcher` is the config node of Hydra's launcher.
    """
    kind = launcher["_target_"].rpartition(".")[2]
    where, wait = "", lambda: None
    if kind == "SlurmLauncher":
        slurm.check(launcher)
        where = f" by Slurm as {launcher['name']}, logs in {Path(launcher['submitit_folder']).parent}"
        wait = partial(slurm.wait, launcher["name"])
    todo = [job for job in jobs if not job.over]
    counts = Counter(found.status for job in jobs if job not in todo and (found := job.record()))
    before = "".join(f"{number} {status}, " for status, number in sorted(counts.items()))
    print(f"{len(jobs)} runs: {before}{len(todo)} to train{where if todo else ''}", file=sys.stderr)
    with _told_to_stop(todo) if kind == "JoblibLauncher" else nullcontext():
        reasons = _launched(todo, launch, wait)
    _report(jobs, reasons)


def _launched(todo: list[Job], launch: Launch, wait: Callable[[], None]) -> dict[str, str]:
    """By hash, why runs have no record.

    A process that dies takes the launcher's others with it. Those that had not begun are launched again, and then one
    by one those that had, so that whichever it was takes no other with it.
    """
    reasons: dict[str, str] = {}

    def launched(jobs: list[Job]) -> bool:
        try:
            returns = launch([job.overrides for job in jobs])
        except Exception as error:
            print(f"a run's process died ({one_line_of(error)})", file=sys.stderr)
            wait()
            return False
        for job, returned in zip(jobs, returns, strict=True):
            if isinstance(returned._return_value, Exception):  # the property would print it before it raises
                reasons[job.run.hash] = str(returned._return_value)
        return True

    alone: list[Job] = []
    while todo and not launched(todo):
        left = [job for job in todo if not job.over]
        begun = [job for job in left if job.folder.exists()] or left
        alone += begun
        todo = [job for job in left if job not in begun]
    for job in alone:
        if not launched([job]):
            reasons[job.run.hash] = "its process died"
    return reasons


def _report(jobs: list[Job], reasons: dict[str, str]) -> None:
    bad = []
    for job in jobs:
        found = job.record()
        if found and found.status == "done":
            print(job.folder / record.NAME)
        else:
            reason = reasons.get(job.run.hash) or (found.reason if found else "it was not finished")
            bad.append(f"{job.run.title}: {reason}")
    if bad:
        print(*bad, sep="\n", file=sys.stderr)
        raise RunFailed(f"{len(bad)} of {len(jobs)} runs are not done, for the reasons above")


@contextmanager
def _told_to_stop(jobs: list[Job]) -> Iterator[None]:
    """Pass signals on to the processes of a sweep, and end when they have saved what they are training."""

    def stop(number: int, frame: FrameType | None) -> None:
        children = [process.pid for process in multiprocessing.active_children() if process.pid]
        for child in children:
            os.kill(child, signal.SIGTERM)
        while any(lock.is_held(job.folder) and lock.holder(job.folder) in children for job in jobs):
            time.sleep(0.05)
        sys.exit(143)

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
