"""Texts of the tooltips: what a mark of a figure stands for, in a few lines."""

from collections.abc import Sequence

from modernet.analysis.budget_tables import describe_crossing
from modernet.analysis.crossing import Crossing
from modernet.analysis.formatting import (
    count_noun,
    format_accuracy,
    format_difference,
    format_interval,
    format_p_equation,
)
from modernet.analysis.stats import Sample
from modernet.analysis.table import Row
from modernet.attribution.formatting import format_contribution, format_cost_factors
from modernet.attribution.measures import Contribution


def row_tooltip(row: Row, *lines: str) -> str:
    """A variant's accuracy, its confidence interval, further lines, and cost."""
    interval = format_interval(row.top1_low, row.top1_high) or _no_interval(row.n)
    return "\n".join(
        [
            row.name,
            f"top-1 {format_accuracy(row)} %",
            f"95 % confidence interval {interval}",
            *lines,
            f"{count_noun(row.n, 'seed')}, {describe_macs(row.gmacs)}",
        ]
    )


def _no_interval(n: int) -> str:
    return f"not available: {'a single seed' if n == 1 else 'the seeds show no spread'}"


def describe_macs(gmacs: float | None) -> str:
    """4.46 GMACs; 8.76 MMACs for a small network."""
    if gmacs is None:
        return "unknown cost"
    return f"{gmacs:.3g} GMACs" if gmacs >= 0.5 else f"{1000 * gmacs:.3g} MMACs"


def paper_tooltip(row: Row, *lines: str) -> str:
    """The paper's accuracy of a variant. Where the paper has none, no mark is drawn and nobody reads the text."""
    top1 = "" if row.paper_top1 is None else f"top-1 {row.paper_top1:.2f} % on ImageNet-1K"
    return "\n".join([f"{row.name}, paper (size {row.paper_size})", top1, *lines])


def difference_tooltip(row: Row) -> str:
    """`row_tooltip` with the difference to the previous step and its p-value."""
    lines = [f"difference to {row.before}: {format_difference(row.gap)} points"]
    if row.difference_holm is not None:
        lines.append(f"{format_p_equation(row.difference_holm)} (Holm)")
    return row_tooltip(row, *lines)


def paper_difference_tooltip(row: Row) -> str:
    """`paper_tooltip` with the paper's difference to its previous step."""
    return paper_tooltip(row, f"difference to {row.before}: {format_difference(row.paper_gap)} points")


def curve_tooltips(variant: str, runs: Sequence[Sequence[float]]) -> list[str]:
    """One text per epoch of a learning curve, from top-1 in percent, [run][epoch]."""
    return [
        f"{variant}, epoch {number}\ntop-1 {sum(epoch) / len(epoch):.2f} %\n"
        f"lowest {min(epoch):.2f}, highest {max(epoch):.2f}\n{count_noun(len(epoch), 'seed')}"
        for number, epoch in enumerate(zip(*runs, strict=False), 1)
    ]


def budget_tooltip(network: str, epochs: int, sample: Sample, interval: tuple[float, float] | None) -> str:
    """The accuracy of a network after a training of this length, with its confidence interval."""
    described = format_interval(*(interval or (None, None))) or _no_interval(sample.n)
    return (
        f"{network}, {epochs} epochs\ntop-1 {sample.mean:.2f} %\n95 % confidence interval {described}\n"
        f"{count_noun(sample.n, 'seed')}"
    )


def crossing_tooltip(crossing: Crossing) -> str:
    """Which network overtakes which one, and where."""
    return f"{crossing.second} and {crossing.first}\n{describe_crossing(crossing)}"


def contribution_tooltip(step: str, measure: str, contribution: Contribution) -> str:
    """A step's contribution by one measure, and its factors of GMACs and parameters."""
    factors = format_cost_factors(contribution)
    return f"{step}, {measure}\n{format_contribution(contribution)} points\nGMACs and parameters times {factors}"
