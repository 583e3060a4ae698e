"""Write the report: one HTML file that opens without network, with tables, figures, every run, and how it was done.

python scripts/report.py [FOLDER ...] [--out FILE] [--protocol P]      # or: make report
A FOLDER is a study: records, and what attribution.py wrote. Unless told it is results/runs (with
results/attribution) or, where nothing was run, every folder of results/studies.
FILE is results/report.html unless told.
"""

import argparse
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from modernet.report.page import page as report
from modernet.report.page import studies
from modernet.errors import UserError, one_line
from modernet.record import write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/report.html"))
    parser.add_argument("--protocol", help="only the records of this protocol")
    arguments = parser.parse_args()

    if not arguments.out.parent.is_dir():
        raise UserError(f"there is no folder {arguments.out.parent} to write {arguments.out.name} to")
    found = studies.read(arguments.folder or studies.default_folders(), arguments.protocol)
    words = ["python", "scripts/report.py", *map(studies.shown, arguments.folder)]
    words += ["--protocol", arguments.protocol] if arguments.protocol else []
    page = report.page(found, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", shlex.join(words))
    for study in found:
        for line in study.left_out:
            print(f"left out: {study.name}: {line}", file=sys.stderr)
    write_text(arguments.out, page)
    print(arguments.out)


if __name__ == "__main__":
    with one_line():
        main()
