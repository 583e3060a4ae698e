"""Accuracy against the kernel size of the depthwise convolution."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modernet.analysis.row import Row
from modernet.config.roadmap import roadmap
from modernet.figures.axes import (
    INTERVALS_NOTE,
    MACS_NOTE,
    PAPER_DATA,
    NotEnoughRuns,
    accuracy_label,
    check_visible,
    confidence_bars,
    few_ticks,
    group_title,
    macs_unit,
    paper_bars,
    paper_label,
    paper_size,
    plot_means,
    seeds_note,
    to_array,
)
from modernet.figures.style import GREY, GUIDE, OURS, PAGE, PAPER, FigureFormat, new_figure, styled
from modernet.figures.tooltips import paper_tooltip, row_tooltip

BASE, CHANGED = "move_up_depthwise", "kernel_size"  # the step of the paper's sweep, and the step that is its 7x7
TIMES = "\N{MULTIPLICATION SIGN}"
FEWEST = 3  # kernel sizes
SEEDS_SHIFT = 0.25  # of the marks of single seeds, in distances of two kernel sizes
MOST_LABELS = 10


@styled
def plot_kernel_size(
    rows: Sequence[Row], title: str = "", intervals: str = INTERVALS_NOTE, *, form: FigureFormat = PAGE
) -> Figure:
    """Top-1 per kernel size of the step of a group that was run with most sizes, with each seed, beside the paper's.

    `intervals` says in the caption what the rows' intervals are. Raises NotEnoughRuns below three kernel sizes.
    """
    step, sweep = _largest_sweep(rows)
    if len(sweep) < FEWEST:
        raise NotEnoughRuns("fewer than three kernel sizes of a step were run")
    sizes = list(sweep.values())
    check_visible(sizes)
    printed = {kernel: row for kernel, row in sweep.items() if step == BASE and row.paper_top1 is not None}
    about_paper = (
        f" Diamonds: the paper's results for size {paper_size(sizes)} on {PAPER_DATA}, on another scale; their error "
        "bars follow from the std that it prints."
    )
    caption = (
        f"The step {step} with other kernel sizes. Small circles: single seeds. "
        f"{seeds_note(sizes, intervals)}{about_paper * bool(printed)} {MACS_NOTE}"
    )
    figure = new_figure(form, 2.1 if form.is_column else 2.9, f"{group_title(rows, title)}: kernel size", caption)
    widths = [max(len(sizes), FEWEST), *([max(len(printed), FEWEST)] if printed else [])]
    panels = np.ravel(figure.subplots(1, len(widths), width_ratios=widths))
    _plot_ours(panels[0], sweep, form)
    if printed:
        _plot_paper(panels[1], printed, form)
    return figure


def _plot_ours(axes: Axes, sweep: Mapping[int, Row], form: FigureFormat) -> None:
    rows, positions = list(sweep.values()), np.arange(len(sweep))  # 11 to 51 takes no more room than 9 to 11
    top1 = to_array(rows, "top1")
    axes.plot(positions, top1, color=GUIDE, linewidth=0.8)
    texts = [row_tooltip(row) for row in rows]
    plot_means(axes, positions, top1, OURS, texts, "ours", yerr=confidence_bars(rows, "top1"))
    for position, row in zip(positions, rows, strict=True):
        if row.n > 1:
            look = {"markersize": 0.35 * form.font_size, "color": "white", "markeredgecolor": GREY}
            axes.plot([position - SEEDS_SHIFT] * row.n, row.top1s, "o", markeredgewidth=0.8, **look)
    factor, unit = macs_unit(rows)
    costs = factor * to_array(rows, "gmacs")
    labels = _kernel_labels(sweep, form)
    if len(rows) <= (5 if form.is_column else 9):
        labels = [f"{label}\n{cost:.1f}" for label, cost in zip(labels, costs, strict=True)]
        axes.set_xlabel(f"kernel size, and {unit}")
    else:
        axes.set_xlabel(f"kernel size, {min(costs):.1f} to {max(costs):.1f} {unit}")
    axes.set_xticks(positions, labels)
    axes.set_ylabel(accuracy_label(rows, form))
    axes.set_title("ours")
    axes.grid(axis="y")
    few_ticks(axes.yaxis, 5)


def _plot_paper(axes: Axes, printed: Mapping[int, Row], form: FigureFormat) -> None:
    rows, positions = list(printed.values()), np.arange(len(printed))
    top1 = to_array(rows, "paper_top1")
    axes.plot(positions, top1, color=GUIDE, linewidth=0.8)
    plot_means(axes, positions, top1, PAPER, [paper_tooltip(row) for row in rows], "paper", yerr=paper_bars(rows))
    axes.set_xticks(positions, _kernel_labels(printed, form))
    axes.set_xlabel("kernel size")
    axes.set_ylabel(paper_label(rows, form))
    axes.set_title("paper")
    axes.grid(axis="y")
    few_ticks(axes.yaxis, 5)


def _kernel_labels(kernels: Iterable[int], form: FigureFormat) -> list[str]:
    """3x3 where there is room, else 3, and of many sizes only some."""
    sizes = list(kernels)
    if len(sizes) <= 5 and not form.is_column:
        return [f"{kernel}{TIMES}{kernel}" for kernel in sizes]
    every = ceil(len(sizes) / MOST_LABELS)
    return [str(kernel) if number % every == 0 else "" for number, kernel in enumerate(sizes)]


def _largest_sweep(rows: Sequence[Row]) -> tuple[str, dict[int, Row]]:
    """A step, and kernel size -> row, ascending; of equally large sweeps the paper's step, else the first."""
    steps = roadmap(rows[0].size)
    sweeps: dict[str, dict[int, Row]] = {BASE: {}}
    for row in rows:
        step, *changes = row.name.split("+")
        field, _, value = changes[0].partition("=") if changes else ("", "", "")
        if not row.n or len(changes) > 1 or field not in ("", "kernel_size"):
            continue
        kernel = int(value) if changes else steps[step].kernel_size
        for swept in {step, BASE if row.name == CHANGED else step}:
            sweeps.setdefault(swept, {})[kernel] = row
    step = max(sweeps, key=lambda name: len(sweeps[name]))
    return step, dict(sorted(sweeps[step].items()))
