"""Print the results table of the records below a folder: markdown, or --csv, --json or --latex.

python scripts/table.py [FOLDER] [--protocol P] [--csv | --json | --latex]      # FOLDER: results/runs unless told
"""

import argparse
import sys
from pathlib import Path

from modernet import formats, table
from modernet.errors import UserError, one_line

FORMATS = {"csv": formats.to_csv, "json": formats.to_json, "latex": formats.to_latex}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/runs"))
    parser.add_argument("--protocol", help="only the records of this protocol")
    choice = parser.add_mutually_exclusive_group()
    for name in FORMATS:
        choice.add_argument(f"--{name}", dest="format", action="store_const", const=name)
    arguments = parser.parse_args()

    found = table.collect(arguments.folder, arguments.protocol)
    for line in found.left_out:
        print(f"left out: {line}", file=sys.stderr)
    if not found.records:
        of = f" of protocol {arguments.protocol}" if arguments.protocol else ""
        raise UserError(
            f"there is no finished record{of} below {arguments.folder}; `python train.py --help` says how to make some"
        )
    print(FORMATS.get(arguments.format, formats.markdown)(table.rows(found.records.values())))


if __name__ == "__main__":
    with one_line():
        main()
