"""Records -> one row per variant, in roadmap order -> markdown, CSV or JSON. Needs no torch."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import pandas as pd
from tabulate import tabulate

from modernet import record
from modernet.record import Record
from modernet.stats import Difference, difference, spread
from modernet.steps import parent, roadmap

CONVENTION = (
    "top-1: percent of the evaluated images after the last epoch, mean ± std over n seeds. "
    "difference: to the step before (of a variant: to its step), in points, with its 95 % interval where both have at "
    "least two seeds. GMACs: convolutions and linear layers, one image."
)


class Group(NamedTuple):
    """What one table compares: rows of one protocol and size, with the same changes to recipe and data."""

    protocol: str
    size: str
    changes: str  # to recipe and data, as in recipe.epochs=5+data.split=train/val; empty for the protocol as it is


def parts(variant: str) -> tuple[str, list[str], str]:
    """convnext+act=relu+recipe.epochs=5 -> step convnext, network changes [act=relu], other changes recipe.epochs=5."""
    step, *changes = variant.split("+")
    others = [change for change in changes if change.startswith(("recipe", "data"))]
    return step, [change for change in changes if change not in others], "+".join(others)


@dataclass(frozen=True)
class Found:
    """The records of a folder that can be compared, by path, and a line for each that was left out."""

    records: dict[Path, Record]
    left_out: list[str]


def collect(folder: Path, protocol: str | None = None) -> Found:
    """Read every record below `folder`.

    Left out are files that hold no record, runs that failed, and what differs from its namesakes in more than the seed.
    """
    read: list[tuple[Path, Record]] = []
    left_out: list[str] = []
    for path in record.paths(folder):
        try:
            found = record.read(path)
        except ValueError as error:
            left_out.append(f"{path}: not a record ({str(error).splitlines()[0]})")
            continue
        if protocol not in (None, found.protocol):
            continue
        if found.status != "done":
            left_out.append(f"{path}: {found.status}")
        else:
            read.append((path, found))

    def science(found: Record) -> str:
        return json.dumps({key: value for key, value in found.config.items() if key != "seed"}, sort_keys=True)

    namesakes = defaultdict(Counter)
    for _, found in read:
        namesakes[found.protocol, found.size, found.variant][science(found)] += 1
    kept: dict[Path, Record] = {}
    seen = set()
    for path, found in read:
        name = found.protocol, found.size, found.variant
        if science(found) != namesakes[name].most_common(1)[0][0]:
            left_out.append(f"{path}: another configuration by the name of {found.variant}")
        elif (*name, found.seed) in seen:
            left_out.append(f"{path}: {found.variant} with seed {found.seed} a second time")
        else:
            seen.add((*name, found.seed))
            kept[path] = found
    return Found(kept, left_out)


def _natural(change: str) -> tuple[str, float, str]:
    """kernel_size=9 before kernel_size=11."""
    field, _, value = change.partition("=")
    try:
        return field, float(value), ""
    except ValueError:
        return field, 0.0, value


@dataclass(frozen=True)
class Row:
    """One variant of a group over its seeds; None where nothing was run, or a single seed gives no spread."""

    protocol: str
    size: str
    changes: str
    variant: str
    n: int
    top1: float | None = None  # percent, mean over seeds
    top1_std: float | None = None
    before: str | None = None  # what the difference is to: the step before, or the step of a variant
    difference: float | None = None  # percentage points
    difference_low: float | None = None  # 95 % interval
    difference_high: float | None = None
    gmacs: float | None = None
    params: int | None = None


def _place(variant: str, order: list[str]) -> tuple[int, list[tuple[str, float, str]]]:
    step, network, _ = parts(variant)
    return order.index(step), [_natural(change) for change in network]


def _top1(runs: list[Record]) -> list[float]:
    return [run.top1 for run in runs if run.top1 is not None]


def _row(group: Group, name: str, variants: dict[str, list[Record]]) -> Row:
    step, network, _ = parts(name)
    before = step if network else parent(step, group.size)
    before = before and "+".join([before, *filter(None, [group.changes])])
    runs, earlier = variants.get(name, []), variants.get(before or "", [])
    if not runs:
        return Row(*group, name, 0, before=before)
    top1 = _top1(runs)
    change = difference(top1, _top1(earlier)) if earlier else Difference(None)
    return Row(
        *group,
        variant=name,
        n=len(runs),
        top1=mean(top1),
        top1_std=spread(top1),
        before=before,
        difference=change.mean,
        difference_low=change.low,
        difference_high=change.high,
        gmacs=runs[0].gmacs,
        params=runs[0].params,
    )


def rows(records: Iterable[Record]) -> list[Row]:
    """One row per variant, in roadmap order; steps that a protocol has not run are rows of n = 0."""
    groups: dict[Group, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for found in records:
        groups[Group(found.protocol, found.size, parts(found.variant)[2])][found.variant].append(found)
    result = []
    for group, variants in sorted(groups.items()):
        order = list(roadmap(group.size))
        # A protocol with changes is a side study: what it leaves out was never meant to be run.
        names = set(variants) if group.changes else {*variants, *order}
        result += [_row(group, name, variants) for name in sorted(names, key=lambda name: _place(name, order))]
    return result


def _interval(row: Row) -> str:
    if row.difference is None:
        return ""
    interval = f" [{row.difference_low:+.2f}, {row.difference_high:+.2f}]" if row.difference_low is not None else ""
    return f"{row.difference:+.2f}{interval}"


def _cells(row: Row) -> list[str]:
    name = row.variant.removesuffix(f"+{row.changes}")
    if row.top1 is None:
        return [name, "0", "not run", "", "", ""]
    top1 = f"{row.top1:.2f}" + (f" ± {row.top1_std:.2f}" if row.top1_std is not None else "")
    return [name, str(row.n), top1, _interval(row), f"{row.gmacs:.4f}", f"{row.params:,}"]


def markdown(table: list[Row]) -> str:
    """A heading and a table per group, and what the columns mean."""
    headers = ["variant", "n", "top-1 (%)", "difference", "GMACs", "parameters"]
    text = []
    for group, members in groupby(table, key=lambda row: Group(row.protocol, row.size, row.changes)):
        changes = f", {group.changes.replace('+', ', ')}" if group.changes else ""
        body = tabulate(
            map(_cells, members), headers, "github", disable_numparse=True, colalign=("left", *["right"] * 5)
        )
        text.append(f"**{group.protocol}, size {group.size}{changes}**\n\n{body}")
    return "\n\n".join([*text, CONVENTION])


def to_csv(table: list[Row]) -> str:
    """A line per row; what is not known is empty."""
    return pd.DataFrame(table).to_csv(index=False)


def to_json(table: list[Row]) -> str:
    """A list of rows; what is not known is null."""
    return json.dumps([asdict(row) for row in table], indent=1)
