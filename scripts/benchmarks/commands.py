"""Whole commands, from the start of Python to their end."""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.rows import Row, fields_of_rounds

QUICK = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=350", "wandb=disabled")
SWEEP = ("-m", "+step=gelu", f"seed={','.join(map(str, range(100)))}")


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
        for arguments in (one, sweep):
            seconds(*arguments)
        commands = {"--help": (("--help",), 1.5), "a finished run": (one, 0.7), "100 finished runs": (sweep, 5.0)}
        return [
            {
                "what": what,
                **fields_of_rounds({"seconds": [seconds(*arguments) for _ in range(rounds)]}),
                "to_reach": limit,
            }
            for what, (arguments, limit) in commands.items()
        ]
