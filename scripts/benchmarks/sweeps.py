"""Runs per hour of a small sweep on a CPU: processes, threads per process, and several runs in one process."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import hydra
import torch

from benchmarks.measuring import Contestant, measure_in_turn
from benchmarks.rows import Row, compare
from modernet.config.experiment import build_execution, build_experiment, initialize_hydra
from modernet.data.fingerprint import resolve_data
from modernet.training.trainer import Trainer

STEPS, SEEDS = ("modern_recipe", "kernel_size", "gelu", "convnext"), (0, 1)
RUNS = len(STEPS) * len(SEEDS)
SCRIPTS = Path(__file__).parents[1]


def sweep_command(processes: int, runs: str) -> list[str]:
    """The sweep as users start it."""
    sweep = ["train.py", "-m", f"+step={','.join(STEPS)}", f"seed={','.join(map(str, SEEDS))}"]
    return [*sweep, f"hydra.launcher.n_jobs={processes}", f"runs={runs}", "wandb=disabled"]


def runs_per_hour(arguments: Callable[[str], list[str]], threads: int) -> Contestant:
    """The whole command `python ARGUMENTS`, from scratch; `threads` are those of each process."""

    def contestant() -> float:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(SCRIPTS)}
        with TemporaryDirectory() as runs:
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments(runs)], env=environment, check=True, capture_output=True)
            return RUNS * 3600 / (time.perf_counter() - started)

    return contestant


def measure_sweeps(rounds: int) -> list[Row]:
    """Every even split of the cores, one thread, more processes than cores, and one process for all runs."""
    cores = os.cpu_count() or 1
    splits = [(n, cores // n) for n in range(1, cores + 1) if cores % n == 0]
    settings = dict.fromkeys([*splits, (1, 1), (2 * cores, 1)])
    contestants = {
        f"{processes} process(es) x {threads} thread(s)": runs_per_hour(partial(sweep_command, processes), threads)
        for processes, threads in settings
    }
    in_one = f"1 process, {cores} runs at a time"
    contestants[in_one] = runs_per_hour(lambda runs: ["-m", "benchmarks.sweeps", runs, str(cores)], 1)
    best = f"{cores} process(es) x 1 thread(s)"
    rates = measure_in_turn(contestants, rounds)
    return [compare(f"sweep of {RUNS} runs, digits, {cores} cores", "runs/h", rates, best)]


def prepare_run(step: str, seed: int, runs: Path) -> Trainer:
    """A trainer of the sweep, ready to fit."""
    with initialize_hydra():
        config = hydra.compose("config", [f"+step={step}", f"seed={seed}", "wandb=disabled"])
        experiment, execution = resolve_data(build_experiment(config)), build_execution(config)
    trainer = Trainer.from_experiment(experiment, experiment.folder(runs), execution)
    trainer.prepare()
    return trainer


def train_in_threads(runs: Path, at_once: int) -> None:
    """All runs of the sweep in this process. They share torch's random numbers, so the product does not do this."""
    torch.set_num_threads(1)
    with ExitStack() as stack, ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        trainers = [stack.enter_context(prepare_run(step, seed, runs)) for step, seed in product(STEPS, SEEDS)]
        list(pool.map(lambda trainer: list(trainer.epochs()), trainers))


if __name__ == "__main__":
    train_in_threads(Path(sys.argv[1]), int(sys.argv[2]))
