"""The training speed of each variant: from the benchmarks of the networks, or from the runs themselves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from statistics import median

from modernet.analysis.row import Row
from modernet.analysis.speeds import Speed, load_speeds
from modernet.record import Record

GMACS_TOLERANCE = 0.1  # the head of a benchmark has another number of classes


class UnknownSpeeds(ValueError):
    """Neither the benchmarks nor the records give speeds that can be compared."""


@dataclass(frozen=True)
class Speeds:
    """Trained images per second."""

    values: dict[str, float]  # name of a variant -> images/s
    source: str  # what was measured, for a caption


def find_speeds(rows: Sequence[Row], records: Iterable[Record], folder: Path) -> Speeds:
    """The speeds of the rows of a group, whose records these are.

    The machine with most of the group's steps in `folder` wins. Without one, the medians of the runs count if all of
    them name the same machine. Raises UnknownSpeeds.
    """
    runs = list(records)
    pixels = {run.config["data"].get("image_size") for run in runs}
    measured: dict[str, list[Speed]] = {}  # machine -> speeds
    for speed in load_speeds(folder):
        if speed.size == rows[0].size and {speed.pixels} == pixels:
            measured.setdefault(speed.machine, []).append(speed)
    found = [speeds for lines in measured.values() if (speeds := _match(lines, rows)).values]
    if found:
        return max(found, key=lambda speeds: (len(speeds.values), median(speeds.values.values())))
    machines = {_machine(run) for run in runs}
    if None in machines or len(machines) != 1:
        why = "do not name their machine" if None in machines else f"are of {len(machines)} kinds of machine"
        raise UnknownSpeeds(f"{folder} has no speeds of these networks, and the records {why}")
    values = {row.name: row.images_per_second for row in rows if row.n and row.images_per_second is not None}
    return Speeds(values, f"the median over the runs, all on {next(iter(machines))}")


def _machine(run: Record) -> str | None:
    """The kind of machine, and what its speed depends on; None where the record does not name it."""
    model = ", ".join(run.gpus) or run.cpu
    if not model:
        return None
    settings = {name: run.machine.get(name) for name in ("devices", "threads", "amp", "compile")}
    return f"{model} ({', '.join(f'{name} {value}' for name, value in settings.items() if value is not None)})"


def _match(measured: Sequence[Speed], rows: Sequence[Row]) -> Speeds:
    """The speeds of the steps among the rows, all of one machine."""
    by_step = {speed.step: speed for speed in measured}
    values = {
        row.name: speed.train_images_per_second
        for row in rows
        if row.n and (speed := by_step.get(row.name)) and _is_same_network(speed, row)
    }
    batch = ", ".join(map(str, sorted({speed.batch for speed in measured})))
    return Speeds(values, f"the benchmark on {measured[0].machine}, batch size {batch}")


def _is_same_network(speed: Speed, row: Row) -> bool:
    """A benchmark of the same step has other MACs where its stem has another stride."""
    return row.gmacs is None or isclose(speed.gmacs, row.gmacs, rel_tol=GMACS_TOLERANCE)
