"""Print the results table of the records below a folder: markdown, --csv, --json or --latex.

modernet table [FOLDER] [--protocol P] [--csv | --json | --latex]      # FOLDER is results/runs by default
"""

import argparse
from pathlib import Path

from modernet.analysis.formatting import to_csv, to_json, to_latex, to_markdown
from modernet.analysis.selection import load_selection
from modernet.analysis.table import build_rows
from modernet.cli import exit_on_error
from modernet.config.search_path import add_config_dir

FORMATS = {"csv": to_csv, "json": to_json, "latex": to_latex}


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/runs"))
    parser.add_argument("--protocol", help="only the records of this protocol")
    parser.add_argument("--config-dir", metavar="DIR", type=add_config_dir, help="a folder with your own steps")
    formats = parser.add_mutually_exclusive_group()
    for name in FORMATS:
        formats.add_argument(f"--{name}", dest="format", action="store_const", const=name)
    return parser.parse_args()


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        selection = load_selection(arguments.folder, arguments.protocol)
        to_text = FORMATS.get(arguments.format, to_markdown)
        print(to_text(build_rows(selection.records.values())))


if __name__ == "__main__":
    main()
