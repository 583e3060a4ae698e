"""Print parameters, GMACs and measured speeds of every network of the roadmap, beside the paper's values.

modernet costs [--size t|b|micro|...] [--device NAME] [--json]      # about 10 seconds

The speeds are those that scripts/benchmark.py wrote to results/benchmarks/.
"""

import argparse
import json
from typing import Any

from modernet.analysis.formatting import tabulate_text
from modernet.analysis.paper import paper_rows
from modernet.analysis.speeds import BENCHMARKS, Speed, load_speeds, speeds_of_size
from modernet.cli import exit_on_error
from modernet.config.roadmap import sizes
from modernet.config.search_path import add_config_dir
from modernet.errors import UserError

# Field of a speed -> heading and format.
SPEEDS = {
    "train_images_per_second": ("training images/s", ",.1f"),
    "inference_images_per_second": ("inference images/s", ",.1f"),
    "latency_ms": ("latency (ms)", ",.1f"),
    "memory_mib_per_image": ("training memory (MiB/image)", ",.1f"),
}
ROUNDING = 0.0051  # GMACs; larger differences are not explained by the two printed decimals


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="t", help=f"{', '.join(sizes())}, or your own; t by default")
    parser.add_argument("--config-dir", metavar="DIR", type=add_config_dir, help="a folder with your own steps")
    parser.add_argument("--device", metavar="NAME", help="the device of the speeds; the first one by default")
    parser.add_argument("--json", action="store_true", help="a list of objects instead of a table")
    arguments = parser.parse_args()
    if arguments.size not in sizes():
        raise UserError(f"--size must be one of {', '.join(sizes())}, got {arguments.size!r}")
    return arguments


def _find_speeds(size: str, device: str | None) -> dict[str, Speed]:
    """Step -> speed on one device; raises UserError where this device has none."""
    speeds = load_speeds()
    found = speeds_of_size(speeds, size, device)
    if device and not found:
        allowed = ", ".join({speed.device: "" for speed in speeds if speed.size == size}) or "none"
        raise UserError(f"--device {device} has no speeds of size {size} in {BENCHMARKS}; measured: {allowed}")
    return found


def _count(size: str, speeds: dict[str, Speed]) -> list[dict[str, Any]]:
    """The cost of each network, with its speed and the paper's GMACs and top-1."""
    from modernet.models.flops import model_cost, table_networks  # imports torch, which --help does not need

    printed = paper_rows(size)
    rows = []
    for step, model in table_networks(size).items():
        cost, paper, speed = model_cost(model), printed.get(step), speeds.get(step)
        rows.append(
            {
                "step": step,
                "params": cost.params,
                "gmacs": round(cost.gmacs, 3),
                "paper_gmacs": paper.gmacs_printed if paper else None,
                "paper_top1": paper.top1 if paper else None,
                **{name: getattr(speed, name, None) for name in (SPEEDS if speeds else ())},
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
        *("" if row[name] is None else format(row[name], spec) for name, (_, spec) in SPEEDS.items() if name in row),
    ]


def _to_markdown(size: str, rows: list[dict[str, Any]], speeds: dict[str, Speed]) -> str:
    headers = ["step", "parameters", "GMACs", "paper's GMACs", "paper's top-1 (%)"]
    headers += [heading for heading, _ in SPEEDS.values()] if speeds else []
    table = tabulate_text(headers, list(map(_to_cells, rows)))
    notes = [f"* {row['step']}: {paper_rows(size)[row['step']].note}" for row in rows if _differs(row)]
    convention = "GMACs: convolutions and linear layers of one 224 x 224 image, 1,000 classes."
    for speed in list(speeds.values())[:1]:
        notes.append(
            f"Speeds: {speed.device} ({speed.threads} threads), {speed.pixels} x {speed.pixels}, batch {speed.batch}; "
            "latency: one image."
        )
    return "\n".join([table, "", convention, *notes])


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        speeds = _find_speeds(arguments.size, arguments.device)
        rows = _count(arguments.size, speeds)
        print(json.dumps(rows, indent=1) if arguments.json else _to_markdown(arguments.size, rows, speeds))


if __name__ == "__main__":
    main()
