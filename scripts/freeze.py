"""Copy finished runs, without weights, to results/studies/STUDY, and write the table and figures that follow.

python scripts/freeze.py STUDY [--runs results/runs] [--protocol P]      # or: make freeze STUDY=first_light
A second call adds what was finished since; nothing is taken away. With --runs results/studies/STUDY itself, table and
figures are made anew.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

from modernet.figures.all import all as figures
from modernet.analysis import formatting as formats
from modernet import record
from modernet.analysis import table
from modernet.errors import UserError, one_line

STUDIES = Path("results/studies")
EVIDENCE = (record.NAME, record.METRICS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="name of the folder in results/studies")
    parser.add_argument("--runs", type=Path, default=Path("results/runs"))
    parser.add_argument("--protocol", help="only the runs of this protocol")
    arguments = parser.parse_args()
    if not re.fullmatch(r"[\w.-]*\w", arguments.study):
        raise UserError(f"STUDY must be a name of letters, digits, '_', '-' and '.', got {arguments.study!r}")

    found = table.load(arguments.runs, arguments.protocol)
    study = STUDIES / arguments.study
    for path in found.records:
        copy = study / path.parent.relative_to(arguments.runs)
        if copy.resolve() != path.parent.resolve():
            copy.mkdir(parents=True, exist_ok=True)
            for name in EVIDENCE:
                shutil.copy2(path.with_name(name), copy / name)

    frozen = table.load(study)
    _, skipped = figures.write(frozen, study / "figures")
    for line in skipped:
        print(f"skipped: {line}", file=sys.stderr)
    rows = table.rows(frozen.records.values())
    made = f"<!-- Made by `make freeze STUDY={study.name}`; `python scripts/table.py {study}` prints it again. -->\n\n"
    record.write_text(study / "table.md", made + formats.markdown(rows) + "\n")
    record.write_text(study / "table.csv", formats.to_csv(rows))
    print(study / "table.md")


if __name__ == "__main__":
    with one_line():
        main()
