"""Push the runs below a folder that wandb kept offline, and say what became of each. Safe to repeat.

python scripts/sync.py [FOLDER] [--entity E] [--project P]      # FOLDER: results/runs unless told
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from modernet.tracking import sync
from modernet.tracking.login import logged_in
from modernet.errors import ModernetError, UserError, one_line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/runs"))
    parser.add_argument("--entity", default=os.environ.get("WANDB_ENTITY"), help="a user or team; the run's own")
    parser.add_argument("--project", default=os.environ.get("WANDB_PROJECT"), help="the run's own unless told")
    arguments = parser.parse_args()

    if not arguments.folder.is_dir():
        raise UserError(f"there is no folder {arguments.folder}")
    runs = sync.offline(arguments.folder)
    if not runs:
        raise UserError(f"there is no run that wandb kept offline below {arguments.folder}; `wandb=offline` makes some")
    logged_in()
    options = [f"--{name}={value}" for name in ("entity", "project") if (value := getattr(arguments, name))]
    counts = Counter()
    for outcome in sync.push(runs, options):
        counts[outcome.state] += 1
        reason = f" ({outcome.reason})" if outcome.reason else ""
        print(f"{outcome.state}: {outcome.folder}{reason}", file=sys.stderr if reason else sys.stdout, flush=True)
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    if counts["failed"]:
        raise ModernetError(f"{counts['failed']} of {len(runs)} runs failed; the same command tries them again")


if __name__ == "__main__":
    with one_line():
        main()
