"""Write the figures of the records below a folder, as SVG and PNG.

python scripts/figures.py [FOLDER] [--protocol P] [--out DIR] [--curves VARIANT ...]
FOLDER is results/runs unless told, DIR is FOLDER/figures. What the records do not allow is skipped, and said.
"""

import argparse
import sys
from pathlib import Path

from modernet.figures.all import all as figures
from modernet.analysis import table
from modernet.errors import UserError, one_line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/runs"))
    parser.add_argument("--protocol", help="only the records of this protocol")
    parser.add_argument("--out", type=Path, help="where to write them")
    parser.add_argument("--curves", nargs="+", default=[], metavar="VARIANT", help="whose learning curves to draw")
    arguments = parser.parse_args()

    found = table.load(arguments.folder, arguments.protocol)
    if unknown := set(arguments.curves) - {run.variant for run in found.records.values()}:
        known = ", ".join(row.variant for row in table.rows(found.records.values()) if row.n)
        raise UserError(f"there is no record of '{sorted(unknown)[0]}'; allowed: {known}")
    written, skipped = figures.write(found, arguments.out or arguments.folder / "figures", arguments.curves)
    for line in skipped:
        print(f"skipped: {line}", file=sys.stderr)
    for path in written:
        print(path)


if __name__ == "__main__":
    with one_line():
        main()
