"""Try to break the product, and count what held.

python scripts/reliability.py [--parts networks,crashes] [--short] [--seed 0]
Writes results/reliability.json and the summary in docs/reliability.md; with --short, which takes minutes instead of
hours, it writes nothing. Every failed trial is printed with what repeats it, and the exit status is then 1.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tabulate import tabulate
from trials import commands, concurrency, crashes, damage, disk, images, networks, numerics, parents, safety, scale
from trials.trial import Trial

from modernet.cli import exit_on_error
from modernet.errors import UserError
from modernet.runtime.io import write_text
from modernet.runtime.provenance import cpu_model, current_commit

# Name -> the trials of a part, given whether they are few, and a seed.
PARTS: dict[str, Callable[[bool, int], Iterator[Trial]]] = {
    "crashes": crashes.trials,
    "parents": parents.trials,
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
START, END = "<!-- summary: written by scripts/reliability.py -->", "<!-- end of the summary -->"


def run_part(name: str, short: bool, seed: int) -> dict[str, dict[str, int]]:
    """Row of the summary -> how many trials there were and how many held."""
    counts: dict[str, dict[str, int]] = {}
    for trial in PARTS[name](short, seed):
        row = counts.setdefault(trial.what, {"tried": 0, "held": 0})
        row["tried"] += 1
        row["held"] += trial.held
        if not trial.held:
            print(f"{name}: {trial.what}: {trial.detail}", file=sys.stderr, flush=True)
    return counts


def format_summary(results: dict[str, dict[str, dict[str, int]]]) -> str:
    """A line for each row of each part."""
    lines = [[part, what, *row.values()] for part, rows in results.items() for what, row in rows.items()]
    return tabulate(lines, ["part", "what", "tried", "held"], "github")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=partial(str.split, sep=","), default=list(PARTS))
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        raise UserError(f"--parts: there is no part {', '.join(sorted(unknown))}; allowed: {', '.join(PARTS)}")
    results = {name: run_part(name, arguments.short, arguments.seed) for name in arguments.parts}
    print(format_summary(results))
    if not arguments.short:
        known = json.loads(RESULTS.read_text())["parts"] if RESULTS.is_file() else {}
        parts = {name: (known | results)[name] for name in PARTS if name in known | results}
        about = {"commit": current_commit(), "cpu": cpu_model()}
        write_text(RESULTS, json.dumps({"about": about, "parts": parts}, indent=1) + "\n")
        before, _, rest = PAGE.read_text().partition(START)
        write_text(PAGE, f"{before}{START}\n\n{format_summary(parts)}\n\n{END}{rest.partition(END)[2]}")
    sys.exit(any(row["held"] < row["tried"] for rows in results.values() for row in rows.values()))


if __name__ == "__main__":
    with exit_on_error():
        main()
