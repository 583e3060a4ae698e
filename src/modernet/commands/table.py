"""Print the results table of the records below folders: markdown, --csv, --json or --latex.

modernet table [FOLDER ...] [--protocol P] [--where FILTER] [--csv | --json | --latex] [--references]

FOLDER is results/runs by default; several folders, as those of two machines, are merged. The same run in two of them
counts once. Where several configurations have one name, today's counts, else the one that ended last, and stderr names
the others.
"""

import argparse
from pathlib import Path

from modernet.analysis.options import (
    add_format_arguments,
    add_record_arguments,
    add_references_argument,
    record_folders,
)
from modernet.analysis.selection import load_selection
from modernet.analysis.table import build_rows
from modernet.analysis.table_text import to_csv, to_json, to_latex, to_markdown
from modernet.cli import exit_on_error
from modernet.errors import UserError

DATA_FORMATS = {"csv": to_csv, "json": to_json}


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="*", type=Path)
    add_record_arguments(parser, "more folders")
    add_format_arguments(parser, [*DATA_FORMATS, "latex"])
    add_references_argument(parser)
    arguments = parser.parse_args()
    if arguments.references and arguments.format in DATA_FORMATS:
        raise UserError(f"--references is a table for readers; allowed: Markdown or --latex, got --{arguments.format}")
    return arguments


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        selection = load_selection(
            record_folders(*arguments.folder, *arguments.runs), arguments.protocol, arguments.where
        )
        rows = build_rows(selection.records.values())
        if arguments.format in DATA_FORMATS:
            print(DATA_FORMATS[arguments.format](rows))
        else:
            to_text = to_latex if arguments.format == "latex" else to_markdown
            print(to_text(rows, arguments.references, selection.failed.values()))


if __name__ == "__main__":
    main()
