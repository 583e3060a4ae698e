"""Print parameters and GMACs of every network of the roadmap, beside the paper's values.

modernet costs [--size t|b|micro] [--json]      # about 10 seconds
"""

import argparse
import json
from typing import Any

from tabulate import tabulate

from modernet.analysis.paper import paper_rows
from modernet.cli import exit_on_error
from modernet.config.roadmap import sizes
from modernet.config.search_path import add_config_dir
from modernet.errors import UserError

ROUNDING = 0.0051  # GMACs; larger differences are not explained by the two printed decimals


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="t", help=f"{', '.join(sizes())}, or your own; t by default")
    parser.add_argument("--config-dir", metavar="DIR", type=add_config_dir, help="a folder with your own steps")
    parser.add_argument("--json", action="store_true", help="a list of objects instead of a table")
    arguments = parser.parse_args()
    if arguments.size not in sizes():
        raise UserError(f"--size must be one of {', '.join(sizes())}, got {arguments.size!r}")
    return arguments


def _count(size: str) -> list[dict[str, Any]]:
    """The cost of each network, with the paper's GMACs and top-1."""
    from modernet.models.flops import model_cost, table_networks  # imports torch, which --help does not need

    printed = paper_rows(size)
    rows = []
    for step, model in table_networks(size).items():
        cost, paper = model_cost(model), printed.get(step)
        rows.append(
            {
                "step": step,
                "params": cost.params,
                "gmacs": round(cost.gmacs, 3),
                "paper_gmacs": paper.gmacs_printed if paper else None,
                "paper_top1": paper.top1 if paper else None,
            }
        )
    return rows


def _differs(row: dict[str, Any]) -> bool:
    """Whether the paper prints other GMACs."""
    return bool(row["paper_gmacs"]) and abs(row["paper_gmacs"] - row["gmacs"]) > ROUNDING


def _to_cells(row: dict[str, Any]) -> list[str]:
    star = " *" if _differs(row) else ""
    return [
        row["step"],
        f"{row['params']:,}",
        f"{row['gmacs']:.3f}",
        "" if row["paper_gmacs"] is None else f"{row['paper_gmacs']:.2f}{star}",
        "" if row["paper_top1"] is None else f"{row['paper_top1']:.2f}",
    ]


def _to_markdown(size: str, rows: list[dict[str, Any]]) -> str:
    headers = ["step", "parameters", "GMACs", "paper's GMACs", "paper's top-1 (%)"]
    columns = ("left", *["right"] * 4)
    table = tabulate(list(map(_to_cells, rows)), headers, tablefmt="github", colalign=columns, disable_numparse=True)
    notes = [f"* {row['step']}: {paper_rows(size)[row['step']].note}" for row in rows if _differs(row)]
    convention = "GMACs: convolutions and linear layers of one 224 x 224 image, 1,000 classes."
    return "\n".join([table, "", convention, *notes])


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        rows = _count(arguments.size)
        print(json.dumps(rows, indent=1) if arguments.json else _to_markdown(arguments.size, rows))


if __name__ == "__main__":
    main()
