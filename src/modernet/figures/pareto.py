"""Accuracy against cost, with the Pareto front: against MACs, and against measured speed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
    to_array,
)
from modernet.figures.labels import add_labels
from modernet.figures.style import GREY, MUTED, OURS, PAGE, PAPER, FigureFormat, new_figure, styled
from modernet.figures.svg import add_tooltips
from modernet.figures.tooltips import row_tooltip

FEWEST = 3  # variants
NAME_LENGTH = 32  # characters of a name in the legend
LOGARITHMIC = 20  # ratio of the largest to the smallest cost from which on the axis is logarithmic
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
    caption = f"Top-1 on the evaluation split. {caption}{others} {seeds_note(variants)}{cut_note(variants, limits)}"
    lines = ceil(len(numbered) / 2) if form.is_column else len(numbered)
    legend_height = LINE * (form.font_size - 0.5) / 72 * lines
    height = 2.3 + legend_height if form.is_column else max(3.6, legend_height + 0.4)
    figure = new_figure(form, height, title, caption)
    if form.is_column:
        axes, legend = figure.subplots(2, 1, height_ratios=[2.2, legend_height])
    else:
        axes, legend = figure.subplots(1, 2, width_ratios=[2.5, 1.25])
    starts = (-0.22, 0.36) if form.is_column else (-0.04,)  # in widths of the axes, left of whose edge are their labels
    _write_legend(legend, numbered, lines, starts)
    _plot_dots(axes, variants, front, cost)
    axes.set_ylim(limits)
    mark_cut_bars(axes, variants, [cost.value(row) for row in variants], MUTED, is_vertical=True)
    few_ticks(axes.yaxis, 5)
    for x, reference in published:
        (mark,) = axes.plot([x], [reference.top1], **PAPER, linestyle="none")
        add_tooltips(mark, [f"{reference.network}: {reference.top1_text} % ({reference.setting}; {reference.source})"])
    axes.set_ylabel(accuracy_label(variants, form))
    points = [(cost.value(row), row.top1 or np.nan, str(number)) for number, row in enumerate(numbered, 1)]
    add_labels(axes, [*points, *((x, reference.top1, reference.network) for x, reference in published)])
    return figure


def _plot_dots(axes: Axes, variants: Sequence[Row], front: Sequence[Row], cost: _Cost) -> None:
    for members, color in (([row for row in variants if row not in front], MUTED), (front, OURS["color"])):
        x, look = [cost.value(row) for row in members], {**OURS, "color": color, "elinewidth": 0.8}
        texts = [row_tooltip(row, f"{cost.value(row):.3g} {cost.label}") for row in members]
        plot_means(axes, x, to_array(members, "top1"), look, texts, yerr=confidence_bars(members, "top1"))
    # A staircase: accuracy rises only where the next variant of the front is.
    x, top1 = np.repeat([cost.value(row) for row in front], 2)[1:], np.repeat(to_array(front, "top1"), 2)[:-1]
    axes.plot(x, top1, color=OURS["color"], linewidth=1)
    costs = [cost.value(row) for row in variants]
    if min(costs) > 0 and max(costs) / min(costs) > LOGARITHMIC:
        axes.set_xscale("log")
    axes.set_xlabel(cost.label)
    axes.grid()
    axes.margins(0.1)


def _write_legend(axes: Axes, numbered: Sequence[Row], lines: int, starts: Sequence[float]) -> None:
    """One column of numbers and names at each of `starts`."""
    axes.set_axis_off()
    axes.set_ylim(lines, 0)
    number_width = 0.07 if len(starts) > 1 else 0.12
    for number, row in enumerate(numbered):
        column, line = divmod(number, lines)
        style = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": "small"}
        texts = [
            axes.text(starts[column] + number_width, line + 0.5, str(number + 1), ha="right", color=GREY, **style),
            axes.text(starts[column] + 1.3 * number_width, line + 0.5, _shorten(variant_name(row.name)), **style),
        ]
        for text in texts:
            text.set_in_layout(False)


def _shorten(name: str) -> str:
    """A name that fits the legend."""
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}\N{HORIZONTAL ELLIPSIS}"
