"""Try to break the product, and count what held.

python scripts/reliability.py [--parts networks,crashes] [--short] [--seed 0]
Writes results/reliability.json and the summary in docs/reliability.md; with --short, which takes minutes instead of
hours, it writes nothing. Each part is written when it ends. Every failed trial is printed with what repeats it, and the
exit status is then 1.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tabulate import tabulate
from trials import (
    commands,
    concurrency,
    crashes,
    damage,
    disk,
    images,
    networks,
    numerics,
    outputs,
    parents,
    safety,
    scale,
    slurm,
)
from trials.trial import Trial

from modernet.cli import exit_on_error
from modernet.errors import UserError
from modernet.runtime.io import write_text
from modernet.runtime.provenance import cpu_model, current_commit

# Name -> the trials of a part, given whether they are few, and a seed.
PARTS: dict[str, Callable[[bool, int], Iterator[Trial]]] = {
    "crashes": crashes.trials,
    "outputs": outputs.trials,
    "parents": parents.trials,
    "slurm": slurm.trials,
    "damage": damage.trials,
    "images": images.trials,
    "disk": disk.trials,
    "concurrency": concurrency.trials,
    "networks": networks.trials,
    "numerics": numerics.trials,
    "scale": scale.trials,
    "commands": commands.trials,
    "safety": safety.trials,
}
RESULTS, PAGE = Path("results/reliability.json"), Path("docs/reliability.md")
ORIGIN = ("commit", "cpu", "seed", "minutes")  # of the numbers of a part
START, END = "<!-- summary: written by scripts/reliability.py -->", "<!-- end of the summary -->"


def run_part(name: str, short: bool, seed: int) -> dict[str, dict[str, int]]:
    """Row of the summary -> how many trials there were and how many held. An error ends the part as a failed trial."""
    counts: dict[str, dict[str, int]] = {}
    for trial in _trials_and_error(name, short, seed):
        row = counts.setdefault(trial.what, {"tried": 0, "held": 0})
        row["tried"] += 1
        row["held"] += trial.held
        if not trial.held:
            print(f"{name}: {trial.what}: {trial.detail}", file=sys.stderr, flush=True)
    return counts


def _trials_and_error(name: str, short: bool, seed: int) -> Iterator[Trial]:
    try:
        yield from PARTS[name](short, seed)
    except Exception:
        yield Trial("the part's own code raises no error", False, traceback.format_exc())


def format_rows(results: dict[str, dict[str, Any]]) -> str:
    """A line for each row of each part."""
    lines = [[part, what, *row.values()] for part, result in results.items() for what, row in result["rows"].items()]
    return tabulate(lines, ["part", "what", "tried", "held"], "github")


def format_origins(results: dict[str, dict[str, Any]]) -> str:
    """Commit, machine, seed and duration of each part, as parts may come from several runs of this script."""
    lines = [[part, *(result[name] for name in ORIGIN)] for part, result in results.items()]
    return tabulate(lines, ["part", *ORIGIN], "github", floatfmt=".1f")


def write_results(results: dict[str, dict[str, Any]]) -> None:
    """Replace these parts in the file of results and in the summary; the other parts stay."""
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    parts = {name: (known | results)[name] for name in PARTS if name in known | results}
    write_text(RESULTS, json.dumps(parts, indent=1) + "\n")
    before, _, rest = PAGE.read_text().partition(START)
    summary = f"{format_origins(parts)}\n\n{format_rows(parts)}"
    write_text(PAGE, f"{before}{START}\n\n{summary}\n\n{END}{rest.partition(END)[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=partial(str.split, sep=","), default=list(PARTS))
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        raise UserError(f"--parts: there is no part {', '.join(sorted(unknown))}; allowed: {', '.join(PARTS)}")
    about = {"commit": current_commit(), "cpu": cpu_model(), "seed": arguments.seed}
    results: dict[str, dict[str, Any]] = {}
    for name in arguments.parts:
        began = time.monotonic()
        rows = run_part(name, arguments.short, arguments.seed)
        results[name] = {**about, "minutes": round((time.monotonic() - began) / 60, 1), "rows": rows}
        if not arguments.short:
            write_results({name: results[name]})  # now, as the next part may take an hour
    print(format_rows(results))
    sys.exit(any(row["held"] < row["tried"] for result in results.values() for row in result["rows"].values()))


if __name__ == "__main__":
    with exit_on_error():
        main()
