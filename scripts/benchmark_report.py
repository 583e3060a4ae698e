"""Time what is made of many records: whole commands, over copies of this repository's records by other names.

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

from modernet import record
from modernet.analysis import table

ROOT = Path(__file__).parents[1]
SEEDS = 5
COMMANDS = (
    ["scripts/table.py"],
    ["scripts/table.py", "--csv"],
    ["scripts/table.py", "--json"],
    ["scripts/table.py", "--latex"],
    ["scripts/report.py", "--out", "report.html"],
)


def write(folder: Path, count: int) -> None:
    """The first protocol, and as many side studies of it as give `count` records, of five seeds each."""
    real = list(table.collect(ROOT / "results/studies/first_light", "digits").records.items())
    for number in range(count):
        round_, place = divmod(number, len(real))
        study, seed = divmod(round_, SEEDS)
        source, found = real[place]
        change = f"+recipe.epochs={study}" if study else ""
        top1 = None if found.top1 is None else found.top1 - seed / 10 - study / 100
        config = found.config | {"seed": seed}
        copy = replace(found, variant=found.variant + change, seed=seed, top1=top1, config=config)
        path = folder / str(number)
        path.mkdir()
        record.write(path, copy)
        shutil.copy(source.with_name(record.METRICS), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1000)
    count = parser.parse_args().records
    with tempfile.TemporaryDirectory() as name:
        runs = Path(name) / "runs"
        runs.mkdir()
        write(runs, count)
        for script, *options in COMMANDS:
            seconds = []
            for _ in range(3):
                start = time.perf_counter()
                command = [sys.executable, ROOT / script, runs, *options]
                subprocess.run(command, cwd=name, check=True, stdout=subprocess.DEVNULL)
                seconds.append(time.perf_counter() - start)
            print(f"{median(seconds):5.2f} s  {' '.join([script, *options])}, {count:,} records")


if __name__ == "__main__":
    main()
