"""Records -> one row per variant, in roadmap order, with its statistics and the paper's values. Needs no torch."""

import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path
from statistics import median
from typing import NamedTuple

from modernet.analysis import paper
from modernet import record
from modernet.errors import UserError
from modernet.record import Record
from modernet.analysis.stats import Difference, Sample, holm, interval, sample, seeds_needed, welch
from modernet.config.roadmap import parent, roadmap, sizes


class Group(NamedTuple):
    """What one table compares: rows of one protocol and size, with the same changes to recipe and data."""

    protocol: str
    size: str
    changes: str  # to recipe and data, as in recipe.epochs=5+data.split=train/val; empty for the protocol as it is

    def __str__(self) -> str:
        return ", ".join([self.protocol, f"size {self.size}", *filter(None, self.changes.split("+"))])


def parts(variant: str) -> tuple[str, list[str], str]:
    """convnext+act=relu+recipe.epochs=5 -> step convnext, network changes [act=relu], other changes recipe.epochs=5."""
    step, *changes = variant.split("+")
    others = [change for change in changes if change.startswith(("recipe", "data"))]
    return step, [change for change in changes if change not in others], "+".join(others)


def group_of(found: Record) -> Group:
    return Group(found.protocol, found.size, parts(found.variant)[2])


@dataclass(frozen=True)
class Found:
    """The records of a folder that can be compared, by path, and a line for each that was left out."""

    records: dict[Path, Record]
    left_out: list[str]


def _unfit(found: Record) -> str | None:
    """Why a record has no place in a table."""
    if found.status != "done":
        return found.status
    if found.top1 is None or not math.isfinite(found.top1):
        return f"done, with a top-1 of {found.top1}"
    if found.size not in sizes():
        return f"there is no size {found.size!r} here; is it from another version?"
    if parts(found.variant)[0] not in roadmap(found.size):
        return f"there is no step {parts(found.variant)[0]!r} here; is it from another version?"
    return None


def collect(folder: Path, protocol: str | None = None) -> Found:
    """Read every record below `folder`.

    Left out are files that hold no record of this version, runs that failed, and what differs from its namesakes in
    more than the seed, or in nothing.
    """
    read: list[tuple[Path, Record]] = []
    left_out: list[str] = []
    for path in record.paths(folder):
        try:
            found = record.read(path)
        except (OSError, ValueError) as error:
            left_out.append(f"{path}: not a record ({error})")
            continue
        if protocol not in (None, found.protocol):
            continue
        if reason := _unfit(found):
            left_out.append(f"{path}: {reason}")
        else:
            read.append((path, found))

    sciences = [json.dumps(found.config | {"seed": None}, sort_keys=True) for _, found in read]
    namesakes = defaultdict(Counter)
    for (_, found), science in zip(read, sciences, strict=True):
        namesakes[found.protocol, found.size, found.variant][science] += 1
    kept: dict[tuple[str, ...], Path] = {}
    records: dict[Path, Record] = {}
    for (path, found), science in zip(read, sciences, strict=True):
        name = found.protocol, found.size, found.variant
        first = kept.setdefault((*name, science, str(found.seed)), path)
        if science != namesakes[name].most_common(1)[0][0]:
            left_out.append(f"{path}: another configuration by the name of {found.variant}")
        elif first != path:
            left_out.append(f"{path}: {found.variant} with seed {found.seed} a second time; the first is {first}")
        else:
            records[path] = found
    return Found(records, left_out)


def load(folder: Path, protocol: str | None = None) -> Found:
    """For scripts: `collect`, with what was left out said on stderr. Raises UserError where nothing is left."""
    found = collect(folder, protocol)
    for line in found.left_out:
        print(f"left out: {line}", file=sys.stderr)
    if not found.records:
        of = f" of protocol {protocol}" if protocol else ""
        raise UserError(
            f"there is no finished record{of} below {folder}; `python train.py --help` says how to make some"
        )
    return found


@dataclass(frozen=True)
class Row:
    """One variant of a group over its seeds; None where nothing was run, or too little for a spread.

    Intervals hold 95 %. `_p` is Welch's two-sided p-value, `_holm` the same corrected over the roadmap.
    """

    protocol: str
    size: str
    changes: str
    variant: str
    n: int
    top1: float | None = None  # percent, mean over seeds
    top1_std: float | None = None
    before: str | None = None  # what the difference is to: the step before, or the step of a variant
    difference: float | None = None  # percentage points
    difference_low: float | None = None
    difference_high: float | None = None
    gmacs: float | None = None
    params: int | None = None
    top1s: tuple[float, ...] = ()  # of each seed, in order of seed
    top1_low: float | None = None  # interval of the mean, Student's t
    top1_high: float | None = None
    difference_p: float | None = None
    difference_holm: float | None = None
    seeds_needed: int | None = None  # of each, to tell it from `before` with power 0.8
    start: str | None = None  # where the roadmap starts; None for the start itself
    start_difference: float | None = None
    start_difference_low: float | None = None
    start_difference_high: float | None = None
    start_difference_p: float | None = None
    start_difference_holm: float | None = None
    images_per_second: float | None = None  # trained; median over runs
    paper_size: str | None = None  # of the paper's values, on ImageNet-1K
    paper_top1: float | None = None
    paper_difference: float | None = None  # to `before`
    paper_difference_low: float | None = None  # where the paper prints the std of both
    paper_difference_high: float | None = None
    sign: str | None = None  # agrees or disagrees with the paper's; unclear where an interval includes zero

    @property
    def group(self) -> Group:
        return Group(self.protocol, self.size, self.changes)

    @property
    def is_step(self) -> bool:
        """Rather than a step with changes to its network."""
        return not parts(self.variant)[1]

    @property
    def name(self) -> str:
        """The variant without the changes that its whole group has."""
        return self.variant.removesuffix(f"+{self.changes}")


def _natural(change: str) -> tuple[str, float, str]:
    """kernel_size=9 before kernel_size=11."""
    field, _, value = change.partition("=")
    try:
        return field, float(value), ""
    except ValueError:
        return field, 0.0, value


def _place(variant: str, order: list[str]) -> tuple[int, list[tuple[str, float, str]]]:
    step, network, _ = parts(variant)
    return order.index(step), [_natural(change) for change in network]


def _of_paper(name: str, before: str | None, size: str) -> dict[str, float | str | None]:
    """What the paper says of a network of this name, and the difference to the one before."""
    rows = paper.reference(size)

    def known(name: str | None) -> Sample | None:
        row = rows.get(name or "")
        return Sample(row.seeds, row.top1, row.top1_std) if row and row.top1 is not None and row.seeds else None

    after, earlier = known(name), known(before)
    gap = welch(after, earlier) if after and earlier else Difference(None)
    return {
        "paper_size": rows[name].size if name in rows else None,
        "paper_top1": after and after.mean,
        "paper_difference": gap.mean,
        "paper_difference_low": gap.low,
        "paper_difference_high": gap.high,
    }


def _compared(prefix: str, gap: Difference) -> dict[str, float | None]:
    return {prefix: gap.mean, f"{prefix}_low": gap.low, f"{prefix}_high": gap.high, f"{prefix}_p": gap.p}


def _sign(ours: Difference, theirs: Difference) -> str | None:
    """What the data allow to say: nothing where an interval includes zero, or ours has none."""
    if ours.mean is None or theirs.mean is None:
        return None
    if ours.low is None or 0 in (ours.sign, theirs.sign):
        return "unclear"
    return "agrees" if ours.sign == theirs.sign else "disagrees"


def _row(group: Group, name: str, variants: dict[str, list[Record]], samples: dict[str, Sample]) -> Row:
    step, network, _ = parts(name)
    plain, first = "+".join([step, *network]), next(iter(roadmap(group.size)))
    before, start = step if network else parent(step, group.size), first if plain != first else None

    def here(of: str | None) -> str | None:
        return of and "+".join([of, *filter(None, [group.changes])])

    of_paper = _of_paper(plain, before, group.size)
    row = Row(*group, name, n=0, before=here(before), start=here(start), **of_paper)  # pyright: ignore
    if name not in variants:
        return row
    runs, own = variants[name], samples[name]
    gap, whole = (welch(own, samples[of]) if of in samples else Difference(None) for of in (row.before, row.start))
    low, high = interval(own) or (None, None)
    return replace(
        row,
        n=own.n,
        top1=own.mean,
        top1_std=own.std,
        top1_low=low,
        top1_high=high,
        top1s=tuple(_top1s(runs)),
        **_compared("difference", gap),
        **_compared("start_difference", whole),
        seeds_needed=seeds_needed(own, samples[row.before]) if row.before in samples else None,
        gmacs=runs[0].gmacs,
        params=runs[0].params,
        images_per_second=median(run.images_per_second for run in runs),
        sign=_sign(gap, Difference(row.paper_difference, row.paper_difference_low, row.paper_difference_high)),
    )


def _corrected(table: list[Row]) -> list[Row]:
    """With Holm's p-values, of four families: steps and their variants, to the step before and to the start.

    So a roadmap's p-values do not depend on how many variants were tried beside it.
    """
    kinds = ("difference", "start_difference")
    corrected = {}
    for kind, is_step in product(kinds, (True, False)):
        family = [row for row in table if row.is_step == is_step]
        values = holm([getattr(row, f"{kind}_p") for row in family])
        corrected |= {(row.variant, kind): p for row, p in zip(family, values, strict=True)}
    return [replace(row, **{f"{kind}_holm": corrected[row.variant, kind] for kind in kinds}) for row in table]


def _top1s(runs: list[Record]) -> list[float]:
    return [run.top1 for run in sorted(runs, key=lambda run: run.seed) if run.top1 is not None]


def rows(records: Iterable[Record]) -> list[Row]:
    """One row per variant, in roadmap order; steps that a protocol has not run are rows of n = 0."""
    collected: dict[Group, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for found in records:
        collected[group_of(found)][found.variant].append(found)
    result = []
    for group, variants in sorted(collected.items()):
        order = list(roadmap(group.size))
        samples = {name: sample(_top1s(runs)) for name, runs in variants.items()}
        # A protocol with changes is a side study: what it leaves out was never meant to be run.
        names = set(variants) if group.changes else {*variants, *order}
        ordered = sorted(names, key=lambda name: _place(name, order))
        result += _corrected([_row(group, name, variants, samples) for name in ordered])
    return result


def groups(table: Iterable[Row]) -> dict[Group, list[Row]]:
    """The rows of each group, in the table's order."""
    return {group: list(members) for group, members in groupby(table, key=lambda row: row.group)}
