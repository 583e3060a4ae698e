"""scripts/benchmark.py: its commands are valid, and its contestants in other processes end."""

import multiprocessing
import time
from itertools import count

import pytest
from benchmarks import commands, sweeps
from benchmarks.measuring import in_own_process, measure_in_turn
from helpers import run_command


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        (("+step=gelu", *commands.QUICK), 1),
        ((*commands.SWEEP, *commands.QUICK), 100),
        (sweeps.sweep_command(2, "here")[1:-1], sweeps.RUNS),
    ],
)
def test_commands_of_the_benchmarks_are_valid(tmp_path, arguments, runs):
    result = run_command("plan", *arguments, f"runs={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert f"{runs} run{'s' * (runs > 1)}, {runs} to train" in result.stdout


def numbers(start: int):
    counter = count(start)
    return lambda: float(next(counter))


def test_a_contestant_ends_where_another_process_has_its_connection():
    """As a data loader's worker has that was started later."""
    holder = multiprocessing.get_context("fork").Process(target=time.sleep, args=(300,), daemon=True)
    with in_own_process(numbers, 5) as contestant:
        holder.start()
        rates = measure_in_turn({"ours": numbers(0), "theirs": contestant}, rounds=2)
        assert rates == {"ours": [1.0, 2.0], "theirs": [6.0, 7.0]}
    assert holder.is_alive()
    holder.kill()
