"""Print the results table of the records below a folder: markdown, or --csv, --json or --latex.

python scripts/table.py [FOLDER] [--protocol P] [--csv | --json | --latex]      # FOLDER: results/runs unless told
"""

import argparse
from pathlib import Path

from modernet.analysis import formatting as formats
from modernet.analysis import table
from modernet.errors import one_line

FORMATS = {"csv": formats.to_csv, "json": formats.to_json, "latex": formats.to_latex}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/runs"))
    parser.add_argument("--protocol", help="only the records of this protocol")
    choice = parser.add_mutually_exclusive_group()
    for name in FORMATS:
        choice.add_argument(f"--{name}", dest="format", action="store_const", const=name)
    arguments = parser.parse_args()

    found = table.load(arguments.folder, arguments.protocol)
    print(FORMATS.get(arguments.format, formats.markdown)(table.rows(found.records.values())))


if __name__ == "__main__":
    with one_line():
        main()
