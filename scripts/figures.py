"""Write the figures of the records below a folder, as SVG and PNG.

python scripts/figures.py [FOLDER] [--protocol P] [--out DIR] [--curves VARIANT ...]
FOLDER is results/runs unless told, DIR is FOLDER/figures. What the records do not allow is skipped, and said.
"""

import argparse
import sys
from pathlib import Path

from modernet import figures, table
from modernet.errors import one_line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/runs"))
    parser.add_argument("--protocol", help="only the records of this protocol")
    parser.add_argument("--out", type=Path, help="where to write them")
    parser.add_argument("--curves", nargs="+", default=[], metavar="VARIANT", help="whose learning curves to draw")
    arguments = parser.parse_args()

    found = table.collect(arguments.folder, arguments.protocol)
    written, skipped = figures.write(found, arguments.out or arguments.folder / "figures", arguments.curves)
    for line in [*(f"left out: {line}" for line in found.left_out), *(f"skipped: {line}" for line in skipped)]:
        print(line, file=sys.stderr)
    print(*written, sep="\n")


if __name__ == "__main__":
    with one_line():
        main()
