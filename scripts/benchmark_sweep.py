"""Measure runs per hour of a small sweep on a CPU, for several numbers of processes and of threads per process.

python scripts/benchmark_sweep.py [--rounds 3] [protocol=digits ...]      # minutes; writes results/benchmarks/sweep-cpu
Each setting trains the same runs from scratch, in turn. A ratio is the median over rounds of a setting's runs per hour
relative to one process with all threads in the same round.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tabulate import tabulate

from modernet.cli import exit_on_error
from modernet.runtime.io import write_text

FOLDER = Path("results/benchmarks")
SWEEP = ("+step=modern_recipe,kernel_size,gelu,convnext", "seed=0,1")
RUNS = 8


class Setting(NamedTuple):
    """One way to use the cores."""

    processes: int
    threads: int  # per process


def settings(cores: int) -> list[Setting]:
    """From one process with all cores to more processes than cores."""
    even_splits = [Setting(n, cores // n) for n in range(1, cores + 1) if cores % n == 0]
    return [*even_splits, Setting(1, 1), Setting(2 * cores, 1)]


def time_sweep(setting: Setting, overrides: list[str]) -> float:
    """Seconds of the whole command, from scratch."""
    joblib = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={setting.processes}"]
    launcher = joblib if setting.processes > 1 else []
    with TemporaryDirectory() as folder:
        command = [sys.executable, "train.py", "-m", *SWEEP, *launcher, *overrides, f"runs={folder}", "wandb=disabled"]
        environment = os.environ | {"OMP_NUM_THREADS": str(setting.threads)}
        started = time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("overrides", nargs="*", help="for every run")
    arguments = parser.parse_args()

    cores = os.cpu_count() or 1
    seconds: dict[Setting, list[float]] = {setting: [] for setting in settings(cores)}
    for number in range(arguments.rounds):
        for setting, rounds in seconds.items():
            rounds.append(time_sweep(setting, arguments.overrides))
            print(f"round {number + 1}: {setting.processes} x {setting.threads}: {rounds[-1]:.1f} s", file=sys.stderr)

    baseline = seconds[Setting(1, cores)]
    rows = [
        {
            **setting._asdict(),
            "runs_per_hour": 3600 * RUNS / median(rounds),
            "to_one_process": median(one / other for one, other in zip(baseline, rounds, strict=True)),
            "seconds": rounds,
        }
        for setting, rounds in seconds.items()
    ]
    result = {"sweep": [*SWEEP, *arguments.overrides], "cores": cores, "processor": platform.processor(), "ways": rows}
    write_text(FOLDER / "sweep-cpu.json", json.dumps(result, indent=1) + "\n")
    table = tabulate(
        [
            [row["processes"], row["threads"], f"{row['runs_per_hour']:.0f}", f"{row['to_one_process']:.2f}"]
            for row in rows
        ],
        ["processes", "threads per process", "runs per hour", "relative to one process with all threads"],
        "github",
        disable_numparse=True,
        colalign=["right"] * 4,
    )
    comment = f"<!-- By `python scripts/benchmark_sweep.py`, {cores} cores; sweep-cpu.json has every round. -->\n\n"
    write_text(FOLDER / "sweep-cpu.md", comment + table + "\n")
    print(table)


if __name__ == "__main__":
    with exit_on_error():
        main()
