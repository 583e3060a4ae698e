"""Compare variants: differences to the first, with confidence interval, p-value, seeds needed and costs.

modernet compare VARIANT VARIANT ... [--runs DIR ...] [--protocol P] [--where FILTER] [--csv | --json | --latex]

A VARIANT is a name as in the table, or a filter that stands for all variants that it matches:
modernet compare gelu convnext
modernet compare convnext convnext+act=relu --where "seed<3 and device=='cpu'"
modernet compare kernel_size "step=='move_up_depthwise' and model.kernel_size>3" --runs results/runs runs_of_a_server
A filter compares fields of record.json and of its config with values: == != < <= > >= in, and, or, not. DIR is
results/runs by default; several folders are merged, and the same run in two of them counts once. Where several
configurations have one name, today's counts, else the one that ended last, and stderr names the others.
"""

import argparse

from modernet.analysis.compare import build_comparison, find_arms
from modernet.analysis.comparison_text import (
    comparison_to_csv,
    comparison_to_json,
    comparison_to_latex,
    comparison_to_markdown,
)
from modernet.analysis.options import add_format_arguments, add_record_arguments, record_folders
from modernet.analysis.selection import load_finished, no_records_error, print_excluded
from modernet.cli import exit_on_error
from modernet.errors import UserError

FORMATS = {"csv": comparison_to_csv, "json": comparison_to_json, "latex": comparison_to_latex}


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="a name, or a filter in quotes")
    add_record_arguments(parser, "the folders of runs, merged; results/runs by default")
    add_format_arguments(parser, FORMATS)
    arguments = parser.parse_args()
    if not arguments.variants:
        raise UserError("compare needs at least one VARIANT before --runs, which takes every word behind it as a DIR")
    return arguments


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        folders = record_folders(*arguments.runs)
        finished = load_finished(folders, arguments.protocol, arguments.where)
        if not finished.records:
            print_excluded(finished.excluded)
            raise no_records_error(folders, arguments.protocol, arguments.where)
        arms, excluded = find_arms(arguments.variants, finished.records)
        print_excluded([*finished.excluded, *excluded])
        to_text = FORMATS.get(arguments.format, comparison_to_markdown)
        print(to_text(build_comparison(arms, finished.records)))


if __name__ == "__main__":
    main()
