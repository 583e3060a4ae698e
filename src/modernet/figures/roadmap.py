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
    check_visible,
    confidence_bars,
    few_ticks,
    group_title,
    label_rows,
    macs_unit,
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
        "bars follow from the std that it prints."
    )
    about_lines = " A line joins the published steps, and each other step with the one that it changes."
    has_side_steps = not all(row.is_published for row in steps)
    notes = f"{seeds_note(steps)}{about_lines * has_side_steps}{about_paper * has_paper}"
    caption = f"Top-1 on the evaluation split. {notes} {MACS_NOTE}"
    height = rows_height(len(steps), form)
    figure = new_figure(form, height, f"{group_title(rows, title)}: the roadmap", caption)
    ratios = [3, 1.8, 1.3] if has_paper else [3, 1.3]
    panels = list(figure.subplots(1, len(ratios), sharey=True, width_ratios=ratios))
    heights = label_rows(panels, [variant_name(row.name) for row in steps])
    _plot_accuracy(panels[0], heights, steps, form)
    if has_paper:
        _plot_paper(panels[1], heights, steps, form)
    _plot_cost(panels[-1], heights, steps)
    for axes in panels:
        few_ticks(axes.xaxis, 3 if form.is_column else 5)
    return figure


def _plot_path(axes: Axes, top1: NDArray[np.float64], heights: Sequence[int], steps: Sequence[Row]) -> None:
    """A line along the published steps, and one to each other step from the step that it changes."""
    indices = {row.variant: index for index, row in enumerate(steps)}
    lines = [[index for index, row in enumerate(steps) if row.is_published]]
    side_steps = [row for row in steps if not row.is_published and row.before in indices]
    lines += [[indices[row.before or ""], indices[row.variant]] for row in side_steps]
    for line in lines:
        axes.plot(top1[line], [heights[index] for index in line], color=GUIDE, linewidth=0.8)


def _plot_accuracy(axes: Axes, heights: Sequence[int], steps: Sequence[Row], form: FigureFormat) -> None:
    top1 = to_array(steps, "top1")
    _plot_path(axes, top1, heights, steps)
    dots = plot_means(axes, top1, heights, OURS, xerr=confidence_bars(steps, "top1"), label="ours")
    add_tooltips(dots, [row_tooltip(row) for row in steps])
    axes.set_xlabel(accuracy_label(steps, form))
    axes.set_title("ours")


def _plot_paper(axes: Axes, heights: Sequence[int], steps: Sequence[Row], form: FigureFormat) -> None:
    top1 = to_array(steps, "paper_top1")
    _plot_path(axes, top1, heights, steps)
    dots = plot_means(axes, top1, heights, PAPER, xerr=paper_bars(steps), label="paper")
    add_tooltips(dots, [paper_tooltip(row) for row in steps])
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
