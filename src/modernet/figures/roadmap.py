"""Accuracy and cost of each step, after Figure 2 of the paper."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modernet.analysis.formatting import format_accuracy
from modernet.analysis.table import Row
from modernet.figures.axes import (
    GMACS_NOTE,
    NotEnoughRuns,
    add_paper_axis,
    add_text_column,
    label_rows,
    label_top1_axis,
    paper_offset,
    seeds_note,
    std_bars,
    to_array,
)
from modernet.figures.style import GREY, OURS, PAPER, SKY, add_legend, new_figure, styled
from modernet.figures.svg import add_tooltips
from modernet.figures.tooltips import paper_tooltip, row_tooltip

BAR_HEIGHT = 0.62


@styled
def plot_roadmap(rows: Sequence[Row]) -> Figure:
    """Top-1 and GMACs of each step of a group, ours and the paper's. Raises NotEnoughRuns below two steps."""
    steps = [row for row in rows if row.is_step and row.n]
    if len(steps) < 2:
        raise NotEnoughRuns("fewer than two steps of the roadmap were run")
    anchor, offset = paper_offset(steps)
    caption = (
        f"Bars and dots: mean top-1 on the evaluation split; bars start at {anchor.name}, so their length is the "
        f"difference to it. {seeds_note(steps, '± 1 std')} Diamonds: the paper's results on the upper axis, which has "
        f"the same scale and is shifted to match ours at {anchor.name}. {GMACS_NOTE}"
    )
    figure = new_figure(8.4, 2.0 + 0.27 * len(steps), f"{anchor.group}: the roadmap", caption)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    _plot_accuracy(left, steps, anchor, offset)
    _plot_cost(right, steps)
    add_legend(figure, left)
    return figure


def _plot_accuracy(axes: Axes, steps: Sequence[Row], anchor: Row, offset: float) -> None:
    heights, top1 = label_rows(axes, steps), to_array(steps, "top1")
    tooltips = [row_tooltip(row) for row in steps]
    (start,) = to_array([anchor], "top1")
    axes.use_sticky_edges = False  # keeps a margin beside the start of the bars
    add_tooltips(axes.barh(heights, top1 - start, left=start, height=BAR_HEIGHT, color=SKY), tooltips)
    axes.axvline(start, color="black", linewidth=0.8)
    dots = axes.errorbar(top1, heights, xerr=std_bars(steps), **OURS, linestyle="none", capsize=2.5, label="ours")
    add_tooltips(dots[0], tooltips)
    (diamonds,) = axes.plot(to_array(steps, "paper_top1") + offset, heights, **PAPER, linestyle="none", label="paper")
    add_tooltips(diamonds, [paper_tooltip(row) for row in steps])
    label_top1_axis(axes.xaxis)
    add_paper_axis(axes, "top", offset, anchor.paper_size)
    add_text_column(axes, "mean ± std", [format_accuracy(row) for row in steps])


def _plot_cost(axes: Axes, steps: Sequence[Row]) -> None:
    heights, gmacs = range(len(steps)), to_array(steps, "gmacs")
    bars = axes.barh(heights, gmacs, height=BAR_HEIGHT, facecolor="white", edgecolor=GREY, hatch="///")
    add_tooltips(bars, [row_tooltip(row) for row in steps])
    axes.bar_label(bars, fmt="%.4f", padding=2, fontsize=8)
    axes.set_xlim(0, 1.5 * gmacs.max())
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("GMACs")
