"""Time the commands that read many records, on copies of this repository's records under other names.

python scripts/benchmark_report.py [--records 1000]      # half a minute
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from modernet.analysis.selection import load_selection
from modernet.cli import exit_on_error
from modernet.errors import UserError
from modernet.record import write_record
from modernet.runtime.file_names import METRICS_FILE

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "results/studies/cifar10_micro"
SEEDS, REPEATS = 5, 3
COMMANDS = (
    ["scripts/table.py"],
    ["scripts/table.py", "--csv"],
    ["scripts/table.py", "--json"],
    ["scripts/table.py", "--latex"],
    ["scripts/report.py", "--out", "report.html"],
)


def write_copies(folder: Path, count: int, seeds: int = SEEDS) -> None:
    """Write `count` records: each variant of the study with these seeds, and as many side studies as it takes."""
    variants = {record.variant: (path, record) for path, record in load_selection(STUDY).records.items()}
    originals = list(variants.values())
    for number in range(count):
        cycle, index = divmod(number, len(originals))
        side_study, seed = divmod(cycle, seeds)
        source, record = originals[index]
        change = f"+recipe.epochs={side_study}" if side_study else ""
        top1 = None if record.top1 is None else record.top1 - seed / 10 - side_study / 100
        copy = replace(
            record, variant=record.variant + change, seed=seed, top1=top1, config=record.config | {"seed": seed}
        )
        path = folder / str(number)
        path.mkdir()
        write_record(path, copy)
        shutil.copy(source.with_name(METRICS_FILE), path)


def time_command(command: list[str], folder: Path) -> float:
    """Median seconds of a whole command, the start of Python included."""
    script, *options = command
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        words = [sys.executable, ROOT / script, folder, *options]
        subprocess.run(words, cwd=folder.parent, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1000)
    count = parser.parse_args().records
    with exit_on_error(), tempfile.TemporaryDirectory() as name:
        if count < 1:
            raise UserError(f"--records must be 1 or more, got {count}")
        runs = Path(name) / "runs"
        runs.mkdir()
        write_copies(runs, count)
        for command in COMMANDS:
            print(f"{time_command(command, runs):5.2f} s  {' '.join(command)}, {count:,} records")


if __name__ == "__main__":
    main()
