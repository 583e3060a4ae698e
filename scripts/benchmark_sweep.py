"""Measure runs per hour of a small sweep: several processes at once against one, with the threads shared out.

python scripts/benchmark_sweep.py [--rounds 3] [protocol=digits ...]      # minutes; writes results/benchmarks/sweep-cpu
Every way trains the same runs from nothing, in turn. A ratio is the median over rounds of its runs per hour to those of
one process with all threads, in the same round.
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

from tabulate import tabulate

from modernet import record
from modernet.errors import one_line

FOLDER = Path("results/benchmarks")
SWEEP = ("+step=modern_recipe,kernel_size,gelu,convnext", "seed=0,1")
RUNS = 8


def ways(cores: int) -> list[tuple[int, int]]:
    """(processes, threads of each): from one process with all cores to more processes than cores."""
    shared = [(n, cores // n) for n in range(1, cores + 1) if cores % n == 0]
    return [*shared, (1, 1), (2 * cores, 1)]


def seconds(processes: int, threads: int, more: list[str]) -> float:
    """Of the whole command, from nothing."""
    launcher = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={processes}"] if processes > 1 else []
    with TemporaryDirectory() as folder:
        command = [sys.executable, "train.py", "-m", *SWEEP, *launcher, *more, f"runs={folder}", "wandb=disabled"]
        began = time.perf_counter()
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("overrides", nargs="*", help="of every run")
    arguments = parser.parse_args()

    cores = os.cpu_count() or 1
    took: dict[tuple[int, int], list[float]] = {way: [] for way in ways(cores)}
    for number in range(arguments.rounds):
        for way, rounds in took.items():
            rounds.append(seconds(*way, arguments.overrides))
            print(f"round {number + 1}: {way[0]} x {way[1]}: {rounds[-1]:.1f} s", file=sys.stderr)

    base = took[1, cores]
    rows = [
        {
            "processes": processes,
            "threads": threads,
            "runs_per_hour": 3600 * RUNS / median(rounds),
            "to_one_process": median(one / other for one, other in zip(base, rounds, strict=True)),
            "seconds": rounds,
        }
        for (processes, threads), rounds in took.items()
    ]
    whole = {"sweep": [*SWEEP, *arguments.overrides], "cores": cores, "processor": platform.processor(), "ways": rows}
    record.write_text(FOLDER / "sweep-cpu.json", json.dumps(whole, indent=1) + "\n")
    table = tabulate(
        [
            [row["processes"], row["threads"], f"{row['runs_per_hour']:.0f}", f"{row['to_one_process']:.2f}"]
            for row in rows
        ],
        ["processes", "threads of each", "runs per hour", "to one process with all threads"],
        "github",
        disable_numparse=True,
        colalign=["right"] * 4,
    )
    made = f"<!-- Made by `python scripts/benchmark_sweep.py`, {cores} cores; sweep-cpu.json has the whole. -->\n\n"
    record.write_text(FOLDER / "sweep-cpu.md", made + table + "\n")
    print(table)


if __name__ == "__main__":
    with one_line():
        main()
