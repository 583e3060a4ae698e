"""Trials of scale: commands on thousands of records, and a sweep whose runs have all finished."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmark_report import STUDY, write_copies

from modernet.analysis.selection import load_selection
from modernet.config.experiment import initialize_hydra
from modernet.config.roadmap import roadmap
from modernet.record import write_record
from modernet.sweeps.jobs import expand
from trials.commands import REPOSITORY
from trials.trial import Trial

MAX_MEMORY = 1024  # MiB
MAX_SECONDS = 300  # after which a command is killed


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    memory: float  # MiB, the largest resident set
    status: int


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """Every row of this part."""
    records, runs = (100, 20) if short else (5000, 1000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "runs"
        folder.mkdir()
        write_copies(folder, records, seeds=50)  # each further group of runs has five figures, a second
        for script, limit in (("table", 5), ("report", 20)):
            options = ["--out", Path(name) / "report.html"] if script == "report" else []
            cost = _measure(["-m", f"modernet.commands.{script}", folder, *options], Path(name))
            yield _time_trial(f"{script} of {records:,} records", cost, limit)
            detail = f"{cost.memory:.0f} MiB, exit status {cost.status}"
            held = cost.status == 0 and cost.memory < MAX_MEMORY
            yield Trial(f"{script} of {records:,} records: below 1 GiB", held, detail)
    with tempfile.TemporaryDirectory() as name:
        words = _write_finished(Path(name), runs)
        yield _time_trial(
            f"{runs:,} finished runs launched again", _measure([REPOSITORY / "train.py", *words], Path(name)), 60
        )


def _time_trial(what: str, cost: Cost, limit: float) -> Trial:
    held = cost.status == 0 and cost.seconds < limit
    return Trial(f"{what}: below {limit} s", held, f"{cost.seconds:.1f} s, exit status {cost.status}")


def _measure(words: list[str | Path], folder: Path) -> Cost:
    """What Python takes for these arguments, its start included."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    limit = threading.Timer(MAX_SECONDS, process.kill)
    limit.start()
    _, status, usage = os.wait4(process.pid, 0)
    limit.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(time.perf_counter() - start, usage.ru_maxrss / 2**10, process.returncode)


def _write_finished(folder: Path, count: int) -> list[str]:
    """Records of a sweep over steps, learning rates and seeds; returns the words of the sweep."""
    rates, seeds = ("0.001", "0.002", "0.003", "0.004", "0.005"), count // 100 or 1
    steps = list(roadmap("micro"))[: count // len(rates) // seeds]
    words = [
        "-m",
        f"+step={','.join(steps)}",
        f"recipe.lr={','.join(rates)}",
        f"seed={','.join(map(str, range(seeds)))}",
    ]
    words += [f"runs={folder / 'runs'}", "wandb=disabled"]
    template = next(iter(load_selection(STUDY).records.values()))
    with initialize_hydra():
        for job in expand(words[1:]):
            run = job.experiment
            names = {"step": run.step, "variant": run.variant, "protocol": run.protocol, "seed": run.seed}
            job.folder.mkdir(parents=True)
            write_record(job.folder, replace(template, **names, config=run.config))
    return words
