"""The training speed of each variant: from the benchmarks of the networks, or from the runs themselves."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from statistics import median
from typing import Any

from modernet.analysis.row import Row
from modernet.config.roadmap import roadmap
from modernet.record import Record

BENCHMARKS = Path("results/benchmarks")  # as scripts/benchmark.py writes them
PART = "steps"
GMACS_TOLERANCE = 0.1  # the head of a benchmark has another number of classes


class UnknownSpeeds(ValueError):
    """Neither the benchmarks nor the records give speeds that can be compared."""


@dataclass(frozen=True)
class Speeds:
    """Trained images per second."""

    values: dict[str, float]  # name of a variant -> images/s
    source: str  # what was measured, for a caption


def find_speeds(rows: Sequence[Row], records: Iterable[Record], folder: Path = BENCHMARKS) -> Speeds:
    """The speeds of the rows of a group, whose records these are.

    The benchmark in `folder` with most of the group's steps wins. Without one, the medians of the runs count if all of
    them name the same machine. Raises UnknownSpeeds.
    """
    runs = list(records)
    pixels = {run.config.get("data", {}).get("image_size") for run in runs}
    found = [
        speeds
        for path in sorted(folder.glob("*.json"))
        for speeds in [_read_benchmark(path, rows, pixels)]
        if speeds.values
    ]
    if found:
        return max(found, key=lambda speeds: (len(speeds.values), median(speeds.values.values())))
    machines = {_machine(run) for run in runs}
    if None in machines or len(machines) != 1:
        why = "do not name their machine" if None in machines else f"are of {len(machines)} kinds of machine"
        raise UnknownSpeeds(f"{folder} has no part '{PART}' with these networks, and the records {why}")
    values = {row.name: row.images_per_second for row in rows if row.n and row.images_per_second is not None}
    return Speeds(values, f"the median over the runs, all on {next(iter(machines))}")


def _machine(run: Record) -> str | None:
    """The kind of machine, and what its speed depends on; None where the record does not name it."""
    model = ", ".join(run.gpus) or run.cpu
    if not model:
        return None
    settings = {name: run.machine.get(name) for name in ("devices", "threads", "amp", "compile")}
    return f"{model} ({', '.join(f'{name} {value}' for name, value in settings.items() if value is not None)})"


def _read_benchmark(path: Path, rows: Sequence[Row], pixels: set[Any]) -> Speeds:
    """The speeds of the steps among the rows; steps with the same network have the same speed."""
    try:
        part = json.loads(path.read_text(encoding="utf-8")).get("parts", {}).get(PART, {"rows": []})
        lines = [line for line in part["rows"] if line["size"] == rows[0].size and {line["pixels"]} == pixels]
        measured = {line["step"]: line for line in lines}
        device = part.get("about", {}).get("device", path.stem)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Speeds({}, path.name)  # another kind of file
    values = {}
    networks = roadmap(rows[0].size)
    for row in rows:
        if not row.n or row.name not in networks:
            continue
        same = [line for step, line in measured.items() if networks.get(step) == networks[row.name]]
        if same and _is_same_network(same[0], row):
            values[row.name] = float(same[0]["train_images_per_second"])
    batch = {line["batch"] for line in lines}
    return Speeds(values, f"the benchmark on {device}, batch size {', '.join(map(str, sorted(batch)))}")


def _is_same_network(line: Mapping[str, Any], row: Row) -> bool:
    """A benchmark of the same step has other MACs where its stem has another stride."""
    gmacs = line.get("gmacs")
    return gmacs is None or row.gmacs is None or isclose(gmacs, row.gmacs, rel_tol=GMACS_TOLERANCE)
