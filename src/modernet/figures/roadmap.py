"""Accuracy and cost of each step, after Figure 2 of the paper."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from modernet.analysis.row import Row
from modernet.config.names import variant_name
from modernet.figures.axes import (
    MACS_NOTE,
    PAPER_DATA,
    NotEnoughRuns,
    accuracy_label,
    accuracy_limits,
    check_visible,
    confidence_bars,
    cut_note,
    few_ticks,
    group_title,
    label_rows,
    macs_unit,
    mark_cut_bars,
    paper_bars,
    paper_label,
    paper_size,
    plot_means,
    rows_height,
    seeds_note,
    to_array,
)
from modernet.figures.style import GREY, GUIDE, OURS, PAGE, PAPER, FigureFormat, new_figure, styled
from modernet.figures.svg import add_tooltips
from modernet.figures.tooltips import paper_tooltip, row_tooltip

FEWEST = 3  # steps; two dots are better said in a sentence


@styled
def plot_roadmap(rows: Sequence[Row], title: str = "", *, form: FigureFormat = PAGE) -> Figure:
    """Top-1 and MACs of each step of a group, and the paper's top-1. Raises NotEnoughRuns below three steps."""
    steps = [row for row in rows if row.is_step and row.n]
    if len(steps) < FEWEST:
        raise NotEnoughRuns("fewer than three steps of the roadmap were run")
    check_visible(steps)
    has_paper = any(row.paper_top1 is not None for row in steps)
    about_paper = (
        f" Diamonds: the paper's results for size {paper_size(steps)} on {PAPER_DATA}, on another scale; their error "
        "bars follow from the std that it prints; without one, there is no bar."
    )
    limits = accuracy_limits(steps)
    about_lines = " A line joins a step with the one that it changes."
    notes = f"{seeds_note(steps)}{cut_note(steps, limits)}{about_lines}{about_paper * has_paper}"
    caption = f"Top-1 on the evaluation split. {notes} {MACS_NOTE}"
    height = rows_height(len(steps), form)
    figure = new_figure(form, height, f"{group_title(rows, title)}: the roadmap", caption)
    ratios = [2.6 if form.is_column else 3, *([2] if has_paper else []), 1.3]
    panels = list(figure.subplots(1, len(ratios), sharey=True, width_ratios=ratios))
    heights = label_rows(panels, [variant_name(row.name) for row in steps])
    _plot_accuracy(panels[0], heights, steps, limits, form)
    if has_paper:
        _plot_paper(panels[1], heights, steps, form)
    _plot_cost(panels[-1], heights, steps)
    for axes in panels[:-1]:
        few_ticks(axes.xaxis, 3 if form.is_column else 5)
    few_ticks(panels[-1].xaxis, 2 if form.is_column else 5)
    return figure


def _plot_path(axes: Axes, top1: NDArray[np.float64], heights: Sequence[int], steps: Sequence[Row]) -> None:
    """A line to each step from the one that it changes, where that was run."""
    indices = {row.variant: index for index, row in enumerate(steps)}
    for index, row in enumerate(steps):
        if row.before in indices:
            ends = [indices[row.before], index]
            axes.plot(top1[ends], [heights[end] for end in ends], color=GUIDE, linewidth=0.8)


def _plot_accuracy(
    axes: Axes, heights: Sequence[int], steps: Sequence[Row], limits: tuple[float, float], form: FigureFormat
) -> None:
    top1, texts = to_array(steps, "top1"), [row_tooltip(row) for row in steps]
    _plot_path(axes, top1, heights, steps)
    plot_means(axes, top1, heights, OURS, texts, "ours", xerr=confidence_bars(steps, "top1"))
    axes.set_xlim(limits)
    mark_cut_bars(axes, steps, heights, OURS["color"])
    axes.set_xlabel(accuracy_label(steps, form))
    axes.set_title("ours")


def _plot_paper(axes: Axes, heights: Sequence[int], steps: Sequence[Row], form: FigureFormat) -> None:
    top1, texts = to_array(steps, "paper_top1"), [paper_tooltip(row) for row in steps]
    _plot_path(axes, top1, heights, steps)
    plot_means(axes, top1, heights, PAPER, texts, "paper", xerr=paper_bars(steps))
    axes.set_xlabel(paper_label(steps, form))
    axes.set_title("paper")


def _plot_cost(axes: Axes, heights: Sequence[int], steps: Sequence[Row]) -> None:
    factor, unit = macs_unit(steps)
    costs = factor * to_array(steps, "gmacs")
    axes.grid(visible=False)
    axes.hlines(heights, 0, costs, color=GUIDE, linewidth=0.8)
    (dots,) = axes.plot(costs, heights, "o", color=GREY, label="cost")
    add_tooltips(dots, [row_tooltip(row) for row in steps])
    for height, cost in zip(heights, costs, strict=True):
        axes.annotate(f"{cost:.1f}", (cost, height), (4, 0), textcoords="offset points", va="center", fontsize="small")
    axes.set_xlim(0, 2.1 * costs.max())
    axes.set_xlabel(unit)
    axes.set_title("cost")
