"""Whole commands, from the start of Python to their end."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measuring import measure_in_turn
from benchmarks.rows import Row, fields_of_rounds

QUICK = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=350", "wandb=disabled")
SWEEP = ("-m", "+step=gelu", f"seed={','.join(map(str, range(100)))}")

LIMITS = {"--help": 1.5, "a finished run": 0.7, "100 finished runs": 5.0}  # seconds to reach


def seconds(*arguments: str) -> float:
    """Wall time of `python train.py ARGUMENTS`, which must succeed."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "train.py", *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def time_commands(rounds: int) -> list[Row]:
    """`--help`, a finished run and a finished sweep of 100 runs, with the seconds to reach."""
    with TemporaryDirectory() as folder:
        runs = f"runs={Path(folder)}"
        one, sweep = ("+step=gelu", *QUICK, runs), (*SWEEP, *QUICK, runs)
        commands = {"--help": ("--help",), "a finished run": one, "100 finished runs": sweep}
        # The round that warms up trains the runs.
        taken = measure_in_turn({what: partial(seconds, *words) for what, words in commands.items()}, rounds)
    return [
        {"what": what, **fields_of_rounds({"seconds": taken[what]}), "to_reach": limit}
        for what, limit in LIMITS.items()
    ]
