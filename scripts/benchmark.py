"""Measure speed and memory against what people would use instead, in turn and in one run; on a quiet machine.

python scripts/benchmark.py [--device cpu] [--parts overhead,ends] [--rounds 7] [--images DIR]
Writes results/benchmarks/DEVICE.json, with the values of single rounds, and .md. A ratio is the median over rounds of
our rate to the other rate of the same round; 1.0 is equal, more is faster. DIR is a folder train/CLASS/*.jpg,
val/CLASS/*.jpg, for the parts `input` and `epoch`: imagenette160/.
"""

import argparse
import json
import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from benchmarks import networks
from benchmarks.commands import time_commands
from benchmarks.epoch import NETWORKS, epoch_against_timm
from benchmarks.growth import measure_growth, plot_growth
from benchmarks.image_input import measure_input
from benchmarks.networks import compare_ends, measure_steps
from benchmarks.overhead import fit_against_loop, fit_with_kept_memory
from benchmarks.rows import Row, summarize
from benchmarks.sweeps import measure_sweeps
from tabulate import tabulate

from modernet.cli import exit_on_error
from modernet.errors import UserError
from modernet.runtime.device import device_name, keep_freed_memory, select_device
from modernet.runtime.io import write_text
from modernet.runtime.provenance import cpu_model, current_commit

FOLDER = Path("results/benchmarks")


@dataclass(frozen=True)
class Settings:
    """What the command line says about a measurement."""

    device: torch.device
    rounds: int
    images: Path

    @property
    def gpu(self) -> bool:
        return self.device.type == "cuda"


def measure_overhead(settings: Settings) -> list[Row]:
    """The trainer against a bare loop."""
    protocol, steps = ("cifar10", 40) if settings.gpu else ("cifar10_micro", 20)
    return [
        fit_against_loop(protocol, step, settings.device, steps, settings.rounds)
        for step in ("modern_recipe", "convnext")
    ]


def measure_kept_memory(settings: Settings) -> list[Row]:
    """The trainer with and without kept memory."""
    return [
        fit_with_kept_memory("cifar10_micro", step, settings.device, 20, settings.rounds)
        for step in ("modern_recipe", "convnext")
    ]


def measure_ends(settings: Settings) -> list[Row]:
    """The ends of the roadmap against other libraries."""
    pixels, steps = (224, 10) if settings.gpu else (128, 2)
    batches = {"t": 128, "b": 32} if settings.gpu else {"t": 8, "b": 2}
    return [
        row
        for size, ends in networks.ENDS.items()
        for step, libraries in ends.items()
        for row in compare_ends(step, size, libraries, settings.device, batches[size], pixels, steps, settings.rounds)
    ]


def measure_epochs(settings: Settings) -> list[Row]:
    """Epochs from image files against timm."""
    number, workers = (8000, 8) if settings.gpu else (640, 1)
    return [
        epoch_against_timm(settings.images, step, settings.device, number, workers, settings.rounds)
        for step in NETWORKS
    ]


def measure_all_steps(settings: Settings) -> list[Row]:
    """The costs of every step at every size."""
    gpu, pixels = settings.gpu, 224 if settings.gpu else 128
    shapes = {"t": (64 if gpu else 4, pixels), "b": (32 if gpu else 2, pixels), "micro": (512 if gpu else 64, 32)}
    return [
        row
        for size, (batch, px) in shapes.items()
        for row in measure_steps(size, settings.device, batch, px, settings.rounds)
    ]


def measure_axes(settings: Settings) -> list[Row]:
    """The growth of a step's cost along each axis."""
    batch, pixels = (64, 224) if settings.gpu else (4, 128)
    return measure_growth(settings.device, batch, pixels, settings.rounds)


# The parts of --parts, in the order of the default; each function returns the rows of its part.
PARTS: dict[str, Callable[[Settings], list[Row]]] = {
    "input": lambda settings: measure_input(settings.images, settings.rounds),
    "overhead": measure_overhead,
    "memory": measure_kept_memory,
    "ends": measure_ends,
    "epoch": measure_epochs,
    "steps": measure_all_steps,
    "growth": measure_axes,
    "commands": lambda settings: time_commands(settings.rounds),
    "sweeps": lambda settings: measure_sweeps(settings.rounds),
}


def format_rates(rows: list[Row]) -> str:
    """A line per contestant."""
    lines = [
        [
            row["what"],
            name,
            f"{rate['median']:,.1f}",
            f"{rate['min']:,.1f} to {rate['max']:,.1f}",
            row["unit"],
            f"{row['ratios'][name]:.3f}" if name in row["ratios"] else "",
            " to ".join(f"{end:.3f}" for end in row.get("intervals", {}).get(name, [])),
        ]
        for row in rows
        for name, rate in row["rates"].items()
    ]
    headings = ["what", "by", "median", "range", "unit", "ratio of ours", "95 % interval"]
    return tabulate(lines, headings, "github", disable_numparse=True)


def format_values(rows: list[Row]) -> str:
    """The rows of a part without contestants."""
    columns = [{name: value for name, value in row.items() if name != "rounds"} for row in rows]
    return tabulate(columns, "keys", "github", floatfmt=".4g")


def format_part(name: str, part: dict[str, Any]) -> str:
    """A heading, where and when it was measured, and a table; computed from the rounds, where rows have them."""
    rows, about = [summarize(row) for row in part["rows"]], part["about"]
    write: Callable[[list[Row]], str] = format_rates if "rates" in rows[0] else format_values
    where = (
        f"{about['cpu']}, {about['threads']} threads, {about['rounds']} rounds, load {about['load']:.1f} in the minute "
        f"before, torch {about['torch']}, commit {about['commit']}."
    )
    return f"## {name}\n\n{where}\n\n{write(rows)}"


def write_results(path: Path, parts: dict[str, dict[str, Any]]) -> None:
    """The rows of all parts as JSON, and as a page beside it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"parts": parts}, indent=1) + "\n")
    text = "\n\n".join(format_part(name, part) for name, part in parts.items())
    write_text(
        path.with_suffix(".md"), f"<!-- By `python scripts/benchmark.py`; {path.name} has all values. -->\n\n{text}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--parts", type=partial(str.split, sep=","), default=list(PARTS))
    parser.add_argument("--images", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        raise UserError(f"--parts: there is no part {', '.join(sorted(unknown))}; allowed: {', '.join(PARTS)}")
    if arguments.rounds < 1:
        raise UserError(f"--rounds must be 1 or more, got {arguments.rounds}")
    if arguments.images is None and {"input", "epoch"} & set(arguments.parts):
        raise UserError(
            "the parts input and epoch need --images DIR, a folder of train/CLASS/*.jpg and val/CLASS/*.jpg"
        )
    device = select_device(arguments.device)
    settings = Settings(device, arguments.rounds, arguments.images or Path())
    path = FOLDER / f"{re.sub(r'[^A-Za-z0-9]+', '-', device_name(device))}.json"
    about = {
        "device": device_name(device),
        "cpu": cpu_model(),
        "load": os.getloadavg()[0],  # mean number of busy processes in the minute before; 0 on a quiet machine
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
        "commit": current_commit(),
        "rounds": arguments.rounds,
    }
    parts = json.loads(path.read_text()).get("parts", {}) if path.exists() else {}
    keep_freed_memory()  # as in training; all libraries gain
    for part in arguments.parts:
        parts[part] = {"about": about, "rows": PARTS[part](settings)}
        print(format_part(part, parts[part]), flush=True)
        write_results(path, parts)  # now, as the next part may take long
    if "growth" in arguments.parts:
        plot_growth(parts["growth"]["rows"], device_name(device), path.with_suffix(""))
    print(path)


if __name__ == "__main__":
    with exit_on_error():
        main()
