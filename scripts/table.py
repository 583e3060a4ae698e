"""Print the results table of the records below a folder: markdown, or --csv, or --json.

python scripts/table.py [FOLDER] [--protocol P] [--csv | --json]      # FOLDER: results/runs unless told
"""

import argparse
import sys
from pathlib import Path

from modernet import table
from modernet.errors import UserError, one_line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/runs"))
    parser.add_argument("--protocol", help="only the records of this protocol")
    parser.add_argument("--csv", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    found = table.collect(arguments.folder, arguments.protocol)
    for line in found.left_out:
        print(f"left out: {line}", file=sys.stderr)
    if not found.records:
        of = f" of protocol {arguments.protocol}" if arguments.protocol else ""
        raise UserError(
            f"there is no finished record{of} below {arguments.folder}; `python train.py --help` says how to make some"
        )
    rows = table.rows(found.records.values())
    print(table.to_json(rows) if arguments.json else table.to_csv(rows) if arguments.csv else table.markdown(rows))


if __name__ == "__main__":
    with one_line():
        main()
