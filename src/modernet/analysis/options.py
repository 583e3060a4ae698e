"""The arguments of the commands that read records: folders, protocol, filter, configs of the user."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from modernet.analysis.where import parse_where
from modernet.config.search_path import add_config_dir
from modernet.errors import UserError

DEFAULT_RUNS = Path("results/runs")


def add_record_arguments(parser: argparse.ArgumentParser, runs_help: str) -> None:
    """--runs, --protocol, --where and --config-dir."""
    parser.add_argument("--runs", nargs="+", type=Path, default=[], metavar="DIR", help=runs_help)
    parser.add_argument("--protocol", help="only the records of this protocol")
    parser.add_argument(
        "--where",
        type=parse_where,
        metavar="FILTER",
        help='only the records that match, as in "seed<3 and recipe.lr==0.01": fields of record.json and its config',
    )
    parser.add_argument("--config-dir", metavar="DIR", type=add_config_dir, help="a folder with your own steps")


def add_format_arguments(parser: argparse.ArgumentParser, formats: Iterable[str]) -> None:
    """A flag for each format, one of which sets `format`."""
    group = parser.add_mutually_exclusive_group()
    for name in formats:
        group.add_argument(f"--{name}", dest="format", action="store_const", const=name)


def add_references_argument(parser: argparse.ArgumentParser) -> None:
    """--references."""
    parser.add_argument(
        "--references",
        action="store_true",
        help="add published results on the data set: to tables with setting and source, to the figure pareto by GMACs",
    )


def record_folders(*named: Path) -> list[Path]:
    """The folders that the user named, or results/runs. Raises UserError for a missing one."""
    if missing := [folder for folder in named if not folder.is_dir()]:
        raise UserError(f"there is no folder {missing[0]}")
    return list(named) or [DEFAULT_RUNS]
