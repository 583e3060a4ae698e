"""From records to the rows of the results table: one per variant, in roadmap order, with the paper's values."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby, product
from pathlib import Path
from statistics import mean, median
from typing import Any

from modernet.analysis.layout import Layout, build_layout, estimate_seed_effect
from modernet.analysis.outdated import outdated_fields
from modernet.analysis.paper import reference_rows
from modernet.analysis.row import Group, Row, group_of, is_published_step, network_name, split_variant
from modernet.analysis.settings import comparable_sets
from modernet.analysis.signs import compare_signs
from modernet.analysis.stats import Difference, Sample, confidence_interval, holm, summarize, welch
from modernet.config.roadmap import main_path, parent_step, roadmap
from modernet.metrics import declared_metrics
from modernet.record import Record


def _with_changes(name: str | None, group: Group) -> str | None:
    """The variant of the group that has this name."""
    return name and "+".join(filter(None, [name, group.changes]))


def _natural_order(change: str) -> tuple[str, float, str]:
    """A sort key that puts kernel_size=9 before kernel_size=11."""
    name, _, value = change.partition("=")
    try:
        return name, float(value), ""
    except ValueError:
        return name, 0.0, value


def roadmap_position(variant: str, size: str) -> tuple[int, list[tuple[str, float, str]]]:
    """A sort key: variants in roadmap order, those of a step by the values of their changes."""
    step, changes, _ = split_variant(variant)
    return list(roadmap(size)).index(step), [_natural_order(change) for change in changes]


def _variants_in_order(group: Group, run: Iterable[str]) -> list[str]:
    """The variants that were run, in roadmap order, and in between the published steps that were not.

    Side steps that were not run are omitted. So is every missing step where a single one was run, and of a protocol
    with changes: a side study rarely runs the whole roadmap.
    """
    chosen, published = set(run), main_path(group.size)
    is_roadmap = not group.changes and len(chosen & set(published)) > 1
    return sorted(
        chosen | set(published if is_roadmap else ()), key=lambda variant: roadmap_position(variant, group.size)
    )


def _paper_values(name: str, before: str | None, size: str) -> dict[str, Any]:
    """The paper's values for the network of this name, and its difference to the one before."""
    rows = reference_rows(size)
    after, earlier = (rows[step].sample if step in rows else None for step in (name, before))
    gap = welch(after, earlier) if after and earlier else Difference(None)
    return {
        "paper_size": rows[name].size if name in rows else None,
        "paper_top1": after and after.mean,
        "paper_difference": gap.mean,
        "paper_difference_low": gap.low,
        "paper_difference_high": gap.high,
    }


def difference_values(prefix: str, gap: Difference) -> dict[str, Any]:
    """A difference as fields of Row, named after the prefix."""
    return {prefix: gap.mean, f"{prefix}_low": gap.low, f"{prefix}_high": gap.high, f"{prefix}_p": gap.p}


def top1s(runs: Iterable[Record]) -> tuple[float, ...]:
    """The top-1 of each run, in order of seed."""
    return tuple(run.top1 for run in sorted(runs, key=lambda run: run.seed) if run.top1 is not None)


def by_seed(runs: Iterable[Record]) -> dict[int, float]:
    """Seed -> top-1 of its run."""
    return {run.seed: run.top1 for run in runs if run.top1 is not None}


def layout_values(layout: Layout) -> dict[str, Any]:
    """The layout of a difference as fields of Row."""
    std, freedom = layout.pooled or (None, None)
    return {
        "difference_test": layout.test,
        "pooled_std": std,
        "pooled_df": freedom,
        "brown_forsythe_p": layout.brown_forsythe_p,
        "bartlett_p": layout.bartlett_p,
    }


def run_values(runs: Sequence[Record]) -> dict[str, Any]:
    """The fields of Row that follow from the runs of its variant."""
    sample = summarize(top1s(runs))
    low, high = confidence_interval(sample) or (None, None)
    metrics = [metric.name for metric in declared_metrics(runs) if metric.in_rows]
    return {
        "n": sample.n,
        "top1": sample.mean,
        "top1_std": sample.std,
        "top1_low": low,
        "top1_high": high,
        "top1s": top1s(runs),
        "gmacs": runs[0].gmacs,
        "params": runs[0].params,
        "images_per_second": median(run.images_per_second for run in runs),
        "epochs": runs[0].epochs,
        "outdated": outdated_fields(runs[0]),
        "metrics": {name: mean(run.metrics[name] for run in runs if name in run.metrics) for name in metrics},
    }


def _build_row(group: Group, variant: str, runs: list[Record], samples: dict[str, Sample], layout: Layout) -> Row:
    """`samples` are the summaries of the variants that may be compared, this one included."""
    step, changes, _ = split_variant(variant)
    name = network_name(variant)
    first = next(iter(roadmap(group.size)))
    before = step if changes else parent_step(step, group.size)
    row = Row(
        *group,
        variant,
        n=0,
        before=_with_changes(before, group),
        start=_with_changes(first, group) if name != first else None,
        **_paper_values(name, before, group.size),
    )
    if not runs:
        return row
    sample = samples[variant]
    to_before, to_start = (
        layout.compare(sample, samples[other]) if other in samples else Difference(None)
        for other in (row.before, row.start)
    )
    return replace(
        row,
        **run_values(runs),
        **difference_values("difference", to_before),
        **difference_values("start_difference", to_start),
        **layout_values(layout),
        seeds_needed=layout.seeds_needed(sample, samples[row.before]) if row.before in samples else None,
    )


def _correct_p_values(rows: list[Row]) -> list[Row]:
    """The rows with Holm's p-values, in four families: published steps and others, to the step before and to the start.

    So the p-values of the roadmap do not depend on the number of variants and side steps beside it.
    """
    comparisons = ("difference", "start_difference")
    corrected = {}
    for comparison, is_published in product(comparisons, (True, False)):
        family = [row for row in rows if row.is_published == is_published]
        p_values = holm([getattr(row, f"{comparison}_p") for row in family])
        corrected |= {(row.variant, comparison): p for row, p in zip(family, p_values, strict=True)}
    return [
        replace(row, **{f"{comparison}_holm": corrected[row.variant, comparison] for comparison in comparisons})
        for row in rows
    ]


def _build_comparable_rows(group: Group, runs: Mapping[str, list[Record]]) -> dict[str, Row]:
    """The row of each variant that was run, by variant; all of them may be compared.

    The published steps are one layout, and for variants and side steps all rows are, so the statistics of the roadmap
    do not depend on the variants beside it.
    """
    values = {variant: top1s(records) for variant, records in runs.items()}
    samples = {variant: summarize(results) for variant, results in values.items()}
    layouts = {
        True: build_layout(results for variant, results in values.items() if is_published_step(variant, group.size)),
        False: build_layout(values.values()),
    }
    return {
        variant: _build_row(group, variant, records, samples, layouts[is_published_step(variant, group.size)])
        for variant, records in runs.items()
    }


def _build_group(group: Group, runs: Mapping[str, list[Record]], compares_all: bool) -> list[Row]:
    """The rows of a group from the runs of each variant."""
    labels, mixed = comparable_sets(chain.from_iterable(runs.values()))
    built: dict[str, Row] = {}
    if compares_all or not mixed:
        built = _build_comparable_rows(group, runs)
    else:
        for label in set(labels.values()):
            members = {variant: records for variant, records in runs.items() if labels[variant] == label}
            rows = _build_comparable_rows(group, members)
            built |= {name: replace(row, mixed_settings=", ".join(mixed)) for name, row in rows.items()}
    seed_effect = estimate_seed_effect(map(by_seed, runs.values()))
    if seed_effect:
        correlation, p = seed_effect
        built = {name: replace(row, seed_correlation=correlation, seed_p=p) for name, row in built.items()}
    not_run = build_layout([])
    rows = [
        built[name] if name in built else _build_row(group, name, [], {}, not_run)
        for name in _variants_in_order(group, runs)
    ]
    return [replace(row, sign=compare_signs(row)) for row in _correct_p_values(rows)]


def build_rows(records: Iterable[Record], compares_all: bool = False) -> list[Row]:
    """One row per variant that was run and per published step, group by group, in roadmap order.

    A published step that was not run is a row of n = 0 where its group has two others or more. Rows that differ in
    recipe or data though their recipe has one name, as after a change of a default, have no difference to each other,
    unless `compares_all`.
    """
    groups: dict[Group, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        groups[group_of(record)][record.variant].append(record)
    return [row for group, runs in sorted(groups.items()) for row in _build_group(group, runs, compares_all)]


def group_records(records: Mapping[Path, Record]) -> dict[Group, dict[Path, Record]]:
    """The records of each group."""
    found: dict[Group, dict[Path, Record]] = defaultdict(dict)
    for path, record in records.items():
        found[group_of(record)][path] = record
    return found


def group_rows(rows: Iterable[Row]) -> dict[Group, list[Row]]:
    """The rows of each group, in the order of `rows`."""
    return {group: list(members) for group, members in groupby(rows, key=lambda row: row.group)}


def with_layout(rows: Sequence[Row], layout: Layout) -> list[Row]:
    """The rows with the intervals and p-values that the layout gives; Holm's correction is over these rows."""
    samples = {row.variant: row.sample for row in rows if row.sample}
    gaps = [
        layout.compare(samples[row.variant], samples[row.before])
        if row.before in samples and row.variant in samples
        else Difference(None)
        for row in rows
    ]
    result = []
    for row, gap, corrected in zip(rows, gaps, holm([gap.p for gap in gaps]), strict=True):
        sample = samples.get(row.variant)
        low, high = (layout.interval(sample) if sample else None) or (None, None)
        values = {**difference_values("difference", gap), **layout_values(layout), "top1_low": low, "top1_high": high}
        result.append(replace(row, **values, difference_holm=corrected))
    return result
