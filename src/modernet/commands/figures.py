"""Plot the records below folders: roadmap, kernel sizes, Pareto fronts, differences and learning curves of each group.

modernet figures [FOLDER ...] [--protocol P] [--where FILTER] [--out DIR] [--curves VARIANT ...]
    [--column] [--no-title] [--references]

FOLDER is results/runs by default, and several are merged, as by `modernet table`. DIR is figures in the first FOLDER by
default. Each figure is written as SVG, PNG and PDF; figures that the records do not allow are skipped, with the reason
on stderr. --column makes them as wide as one column of a paper (85 mm instead of 180 mm). --no-title omits titles and
captions, for papers that have captions below their figures. Names in figures come from names.yaml in the configs.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from modernet.analysis.options import add_record_arguments, add_references_argument, record_folders
from modernet.analysis.selection import Selection, load_selection
from modernet.analysis.speeds import BENCHMARKS
from modernet.analysis.table import build_rows
from modernet.cli import exit_on_error
from modernet.errors import UserError


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="*", type=Path)
    add_record_arguments(parser, "more folders")
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder of the figures; FOLDER/figures by default")
    add_references_argument(parser)
    parser.add_argument("--curves", nargs="+", default=[], metavar="VARIANT", help="variants of the learning curves")
    parser.add_argument("--column", action="store_true", help="85 mm wide, one column of a paper, instead of 180 mm")
    parser.add_argument("--no-title", action="store_true", help="without titles and captions")
    parser.add_argument(
        "--benchmarks", metavar="DIR", type=Path, default=BENCHMARKS, help=f"measured speeds; {BENCHMARKS} by default"
    )
    return parser.parse_args()


def _check_variants(variants: Sequence[str], selection: Selection) -> None:
    if unknown := set(variants) - {record.variant for record in selection.records.values()}:
        known = ", ".join(row.variant for row in build_rows(selection.records.values()) if row.n)
        raise UserError(f"there is no record of '{min(unknown)}'; allowed: {known}")


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        folders = record_folders(*arguments.folder, *arguments.runs)
        selection = load_selection(folders, arguments.protocol, arguments.where)
        _check_variants(arguments.curves, selection)
        from modernet.figures.gallery import save_figures  # imports matplotlib, which an error does not need
        from modernet.figures.style import COLUMN, PAGE

        form = replace(COLUMN if arguments.column else PAGE, has_titles=not arguments.no_title)
        folder = arguments.out or folders[0] / "figures"
        paths, skipped = save_figures(
            selection,
            folder,
            arguments.curves,
            form=form,
            benchmarks=arguments.benchmarks,
            with_references=arguments.references,
        )
        for line in skipped:
            print(f"skipped: {line}", file=sys.stderr)
        for path in paths:
            print(path)


if __name__ == "__main__":
    main()
