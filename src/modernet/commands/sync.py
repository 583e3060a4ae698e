"""Push the runs that wandb logged offline, and report the result of each. Safe to repeat.

modernet sync [FOLDER] [--entity E] [--project P]      # FOLDER is results/runs by default
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from modernet.cli import exit_on_error
from modernet.errors import ModernetError, UserError


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/runs"))
    parser.add_argument("--entity", default=os.environ.get("WANDB_ENTITY"), help="a user or team; yours by default")
    project = os.environ.get("WANDB_PROJECT")
    parser.add_argument("--project", default=project, help="the project that the run names by default")
    return parser.parse_args()


def _push(folder: Path, options: list[str]) -> None:
    try:
        from modernet.tracking import sync  # imports wandb, which takes a second
    except ImportError as error:
        raise UserError(f"modernet sync needs wandb ({error}): pip install wandb") from error
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    runs = sync.find_offline_runs(folder)
    if not runs:
        raise UserError(f"there is no run that wandb logged offline below {folder}; train.py wandb=offline logs one")
    sync.log_in()
    counts = Counter()
    for outcome in sync.push(runs, options):
        counts[outcome.state] += 1
        reason = f" ({outcome.reason})" if outcome.reason else ""
        print(f"{outcome.state}: {outcome.folder}{reason}", file=sys.stderr if reason else sys.stdout, flush=True)
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    if counts["failed"]:
        raise ModernetError(f"{counts['failed']} of {len(runs)} runs failed; rerun the same command to try them again")


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        options = [f"--{name}={value}" for name in ("entity", "project") if (value := getattr(arguments, name))]
        _push(arguments.folder, options)


if __name__ == "__main__":
    main()
