"""Accuracy against cost, with the Pareto front: against MACs, and against measured speed."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from math import ceil
from statistics import mean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from modernet.analysis.references import Reference
from modernet.analysis.row import Row
from modernet.analysis.variant_speeds import Speeds
from modernet.config.names import variant_name
from modernet.figures.axes import (
    MACS_NOTE,
    NotEnoughRuns,
    accuracy_label,
    accuracy_limits,
    check_visible,
    confidence_bars,
    cut_note,
    few_ticks,
    group_title,
    macs_unit,
    mark_cut_bars,
    plot_means,
    seeds_note,
    set_plain_log_scale,
    to_array,
)
from modernet.figures.labels import add_labels
from modernet.figures.style import GREY, MUTED, OURS, PAGE, PAPER, FigureFormat, new_figure, styled
from modernet.figures.svg import add_tooltips
from modernet.figures.tooltips import row_tooltip

FEWEST = 3  # variants
NAME_LENGTH = 32  # characters of a line of the legend
LOGARITHMIC = 20  # ratio of the largest to the smallest cost from which on the axis is logarithmic
GAP = 0.015  # between the intervals of two variants, in ranges of the costs
LINE = 1.45  # height of a line of the legend, in type sizes


@dataclass(frozen=True)
class _Cost:
    """The x axis."""

    label: str
    value: Callable[[Row], float]  # in the unit of the label
    sign: int = 1  # -1: more is better


def pareto_front(rows: Iterable[Row], cost: Callable[[Row], float] = lambda row: row.gmacs or 0.0) -> list[Row]:
    """The variants that no other one of the same or a lower cost matches in mean top-1, by ascending cost."""
    best, front = -np.inf, []
    for row in sorted((row for row in rows if row.n), key=lambda row: (cost(row), -(row.top1 or 0))):
        if row.top1 is not None and row.top1 > best:
            best = row.top1
            front.append(row)
    return front


@styled
def plot_pareto(
    rows: Sequence[Row], title: str = "", *, form: FigureFormat = PAGE, published: Sequence[Reference] = ()
) -> Figure:
    """Top-1 against MACs of all variants of a group, and of published networks whose GMACs are known.

    Raises NotEnoughRuns below three variants.
    """
    variants = [row for row in rows if row.n]
    if len(variants) < FEWEST:
        raise NotEnoughRuns("fewer than three variants were run")
    factor, unit = macs_unit(variants)
    caption = f"Blue dots, on the line: no other variant of the same or a lower cost reaches their mean. {MACS_NOTE}"
    cost = _Cost(unit, lambda row: factor * (row.gmacs or 0.0))
    known = [(factor * reference.gmacs, reference) for reference in published if reference.gmacs is not None]
    if known:
        caption += (
            " Diamonds: published results, each in its authors' setting, which the table with --references names."
        )
    return _plot(variants, cost, f"{group_title(rows, title)}: accuracy against cost", caption, form, known)


@styled
def plot_pareto_speed(rows: Sequence[Row], speeds: Speeds, title: str = "", *, form: FigureFormat = PAGE) -> Figure:
    """Top-1 against measured training speed. Raises NotEnoughRuns below three variants of known speed."""
    variants = [row for row in rows if row.n and row.name in speeds.values]
    if len(variants) < FEWEST:
        raise NotEnoughRuns("fewer than three variants have a measured speed")
    caption = (
        "Blue dots, on the line: no other variant that trains as fast or faster reaches their mean. Speed: "
        f"{speeds.source}."
    )
    cost = _Cost("trained images/s", lambda row: speeds.values[row.name], sign=-1)
    return _plot(variants, cost, f"{group_title(rows, title)}: accuracy against training speed", caption, form)


def _plot(
    variants: Sequence[Row],
    cost: _Cost,
    title: str,
    caption: str,
    form: FigureFormat,
    published: Sequence[tuple[float, Reference]] = (),  # with their costs
) -> Figure:
    check_visible(variants)
    limits = accuracy_limits(variants, [reference.top1 for _, reference in published])
    front = pareto_front(variants, lambda row: cost.sign * cost.value(row))
    numbered = [row for row in variants if row.is_step or row.paper_top1 is not None or row in front]
    others = " Dots without a number: other variants." * (len(numbered) < len(variants))
    costs = np.array([cost.value(row) for row in variants])
    x, is_log = _positions(costs)
    apart = " Dots of nearly the same cost are drawn side by side." * (not np.array_equal(x, costs))
    caption = (
        f"Top-1 on the evaluation split. {caption}{apart}{others} {seeds_note(variants)}{cut_note(variants, limits)}"
    )
    names = [textwrap.fill(variant_name(row.name), NAME_LENGTH) for row in numbered]
    lines = ceil(sum(name.count("\n") + 1 for name in names) / (2 if form.is_column else 1))
    legend_height = LINE * (form.font_size - 0.5) / 72 * lines
    height = 2.3 + legend_height if form.is_column else max(3.6, legend_height + 0.4)
    figure = new_figure(form, height, title, caption)
    if form.is_column:
        axes, legend = figure.subplots(2, 1, height_ratios=[2.2, legend_height])
    else:
        axes, legend = figure.subplots(1, 2, width_ratios=[2.5, 1.25])
    starts = (-0.22, 0.36) if form.is_column else (-0.04,)  # in widths of the axes, left of whose edge are their labels
    _write_legend(legend, names, lines, starts)
    axes.set_ylim(limits)
    _plot_dots(axes, variants, front, x, is_log, cost)
    few_ticks(axes.yaxis, 5)
    for known_cost, reference in published:
        (mark,) = axes.plot([known_cost], [reference.top1], **PAPER, linestyle="none")
        add_tooltips(mark, [f"{reference.network}: {reference.top1_text} % ({reference.setting}; {reference.source})"])
    axes.set_ylabel(accuracy_label(variants, form))
    points = [(x[variants.index(row)], row.top1 or np.nan, str(number)) for number, row in enumerate(numbered, 1)]
    add_labels(axes, [*points, *((known_cost, one.top1, one.network) for known_cost, one in published)])
    return figure


def _positions(costs: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Where the dots are drawn, so that no interval covers another one, and whether the axis is logarithmic."""
    is_log = bool(min(costs) > 0 and max(costs) / min(costs) > LOGARITHMIC)
    scaled = np.log10(costs) if is_log else costs
    moved = _spread(scaled, GAP * (np.ptp(scaled) or 1.0))
    if np.array_equal(moved, scaled):
        return costs, is_log
    return (10**moved if is_log else moved), is_log


def _plot_dots(
    axes: Axes, variants: Sequence[Row], front: Sequence[Row], x: NDArray[np.float64], is_log: bool, cost: _Cost
) -> None:
    """Dots at `x`, near their costs, and the staircase of the front."""
    on_front = np.array([row in front for row in variants])
    for chosen, color in ((~on_front, MUTED), (on_front, OURS["color"])):
        members, look = list(compress(variants, chosen)), {**OURS, "color": color, "elinewidth": 0.8}
        texts = [row_tooltip(row, f"{cost.value(row):.3g} {cost.label}") for row in members]
        if members:
            bars = confidence_bars(members, "top1")
            plot_means(axes, x[chosen], to_array(members, "top1"), look, texts, yerr=bars)
            mark_cut_bars(axes, members, x[chosen].tolist(), color, is_vertical=True)
    # A staircase: accuracy rises only where the next variant of the front is.
    corners = np.repeat([x[variants.index(row)] for row in front], 2)[1:]
    axes.plot(corners, np.repeat(to_array(front, "top1"), 2)[:-1], color=OURS["color"], linewidth=1)
    axes.margins(x=0.1)
    if is_log:
        set_plain_log_scale(axes)
    axes.set_xlabel(cost.label)
    axes.grid()


def _spread(values: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """The values, moved as little as possible so that neighbours are this far apart; in the same order."""
    order = np.argsort(values, kind="stable")
    clusters: list[list[float]] = []
    for value in values[order]:
        clusters.append([value])
        while len(clusters) > 1 and _ends(clusters[-1], gap)[0] - _ends(clusters[-2], gap)[1] < gap:
            last = clusters.pop()
            clusters[-1] += last
    moved = np.empty_like(values)
    moved[order] = np.concatenate([np.linspace(*_ends(cluster, gap), len(cluster)) for cluster in clusters])
    return moved


def _ends(cluster: Sequence[float], gap: float) -> tuple[float, float]:
    """The first and the last position of members this far apart, around their mean."""
    middle, half = mean(cluster), gap * (len(cluster) - 1) / 2
    return middle - half, middle + half


def _write_legend(axes: Axes, names: Sequence[str], lines: int, starts: Sequence[float]) -> None:
    """One column of numbers and names at each of `starts`; a column ends with the name that reaches `lines`."""
    axes.set_axis_off()
    number_width = 0.07 if len(starts) > 1 else 0.12
    column = line = longest = 0
    for number, name in enumerate(names, 1):
        style = {"transform": axes.get_yaxis_transform(), "va": "top", "fontsize": "small", "linespacing": 1.1}
        texts = [
            axes.text(starts[column] + number_width, line, str(number), ha="right", color=GREY, **style),
            axes.text(starts[column] + 1.3 * number_width, line, name, **style),
        ]
        for text in texts:
            text.set_in_layout(False)
        line += name.count("\n") + 1
        longest = max(longest, line)
        if line >= lines:
            column, line = column + 1, 0
    axes.set_ylim(longest, 0)
