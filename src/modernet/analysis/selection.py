"""Which records are compared: finished runs of known steps, each configuration and seed once."""

import math
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from modernet.analysis.table import split_variant
from modernet.config.identity import run_hash
from modernet.config.roadmap import roadmap, sizes
from modernet.errors import UserError
from modernet.record import Record, load_records

RowKey = tuple[str, str, str]  # protocol, size and variant of a row of the table

UNKNOWN = "is it from another version, or from configs that --config-dir names?"


@dataclass(frozen=True)
class Selection:
    """The records of a folder that can be compared, by path, and a line for each excluded one."""

    records: dict[Path, Record]
    excluded: list[str]


def _reason_to_exclude(record: Record) -> str | None:
    if record.status != "done":
        return record.status
    if record.top1 is None or not math.isfinite(record.top1):
        return f"done, with a top-1 of {record.top1}"
    if record.size not in sizes():
        return f"there is no size {record.size!r} here; {UNKNOWN}"
    step, *_ = split_variant(record.variant)
    if step not in roadmap(record.size):
        return f"there is no step {step!r} here; {UNKNOWN}"
    return None


def _configuration(record: Record) -> str:
    """Hash of everything that decides the result except the seed; a new field with a default does not change it."""
    return run_hash(record.config | {"seed": None})


def _row_key(record: Record) -> RowKey:
    return record.protocol, record.size, record.variant


def select(folder: Path, protocol: str | None = None) -> Selection:
    """The comparable records below a folder, of one protocol or of all.

    Excluded are files that hold no record of this version, failed runs, runs of unknown steps and sizes, and of the
    runs of one variant those with another configuration than most, and second runs of a seed.
    """
    loaded = load_records(folder)
    excluded = list(loaded.rejected)
    usable: dict[Path, Record] = {}
    for path, record in loaded.records.items():
        if protocol not in (None, record.protocol):
            continue
        if reason := _reason_to_exclude(record):
            excluded.append(f"{path}: {reason}")
        else:
            usable[path] = record

    counts: dict[RowKey, Counter[str]] = defaultdict(Counter)
    for record in usable.values():
        counts[_row_key(record)][_configuration(record)] += 1
    first_paths: dict[tuple[RowKey, int], Path] = {}
    selected: dict[Path, Record] = {}
    for path, record in usable.items():
        key = _row_key(record)
        [(usual, _)] = counts[key].most_common(1)
        if _configuration(record) != usual:
            excluded.append(f"{path}: another configuration with the name {record.variant}")
        elif (first := first_paths.setdefault((key, record.seed), path)) != path:
            excluded.append(f"{path}: {record.variant} with seed {record.seed} a second time; the first is {first}")
        else:
            selected[path] = record
    return Selection(selected, excluded)


def load_selection(folder: Path, protocol: str | None = None) -> Selection:
    """`select` for a command: prints what it excludes to stderr.

    Raises UserError where nothing is left.
    """
    selection = select(folder, protocol)
    for line in selection.excluded:
        print(f"excluded: {line}", file=sys.stderr)
    if not selection.records:
        of_protocol = f" of protocol {protocol}" if protocol else ""
        raise UserError(
            f"there is no finished record{of_protocol} below {folder}; `python train.py --help` explains how to train"
        )
    return selection
