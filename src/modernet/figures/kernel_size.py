"""Accuracy against the kernel size of the depthwise convolution."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modernet.analysis.row import Row
from modernet.config.roadmap import roadmap
from modernet.figures.axes import (
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

BASE, CHANGED = "move_up_depthwise", "kernel_size"  # the step of the sweep, and the step that is its 7x7
LARGEST = 99
TIMES = "\N{MULTIPLICATION SIGN}"
FEWEST = 3  # kernel sizes
SEEDS_SHIFT = 0.5  # of the marks of single seeds, in kernel sizes


@styled
def plot_kernel_size(rows: Sequence[Row], title: str = "", *, form: FigureFormat = PAGE) -> Figure:
    """Top-1 of a group's move_up_depthwise per kernel size, with each seed, beside the paper's.

    Raises NotEnoughRuns below three kernel sizes.
    """
    sweep = _rows_by_kernel_size(rows)
    if len(sweep) < FEWEST:
        raise NotEnoughRuns("fewer than three kernel sizes of move_up_depthwise were run")
    kernels, sizes = np.array(list(sweep)), list(sweep.values())
    check_visible(sizes)
    has_paper = any(row.paper_top1 is not None for row in sizes)
    about_paper = (
        f" Diamonds: the paper's results for size {paper_size(sizes)} on {PAPER_DATA}, on another scale; their error "
        "bars follow from the std that it prints."
    )
    caption = (
        f"The step move_up_depthwise with other kernel sizes. Small circles: single seeds. {seeds_note(sizes)}"
        f"{about_paper * has_paper} {MACS_NOTE}"
    )
    figure = new_figure(form, 2.1 if form.is_column else 2.9, f"{group_title(rows, title)}: kernel size", caption)
    panels = np.ravel(figure.subplots(1, 1 + has_paper, width_ratios=[3, 2][: 1 + has_paper]))
    _plot_ours(panels[0], kernels, sizes, form)
    if has_paper:
        _plot_paper(panels[1], kernels, sizes, form)
    return figure


def _plot_ours(axes: Axes, kernels: np.ndarray, rows: Sequence[Row], form: FigureFormat) -> None:
    top1 = to_array(rows, "top1")
    axes.plot(kernels, top1, color=GUIDE, linewidth=0.8)
    texts = [row_tooltip(row) for row in rows]
    plot_means(axes, kernels, top1, OURS, texts, "ours", yerr=confidence_bars(rows, "top1"))
    for kernel, row in zip(kernels, rows, strict=True):
        if row.n > 1:
            look = {"markersize": 0.35 * form.font_size, "color": "white", "markeredgecolor": GREY}
            axes.plot([kernel - SEEDS_SHIFT] * row.n, row.top1s, "o", markeredgewidth=0.8, **look)
    factor, unit = macs_unit(rows)
    costs = factor * to_array(rows, "gmacs")
    labels = _kernel_labels(kernels, form)
    axes.set_xticks(kernels, [f"{label}\n{cost:.1f}" for label, cost in zip(labels, costs, strict=True)])
    axes.set_xlabel(f"kernel size, and {unit}")
    axes.set_ylabel(accuracy_label(rows, form))
    axes.set_title("ours")
    axes.grid(axis="y")
    few_ticks(axes.yaxis, 5)


def _plot_paper(axes: Axes, kernels: np.ndarray, rows: Sequence[Row], form: FigureFormat) -> None:
    top1 = to_array(rows, "paper_top1")
    axes.plot(kernels, top1, color=GUIDE, linewidth=0.8)
    plot_means(axes, kernels, top1, PAPER, [paper_tooltip(row) for row in rows], "paper", yerr=paper_bars(rows))
    axes.set_xticks(kernels, _kernel_labels(kernels, form))
    axes.set_xlabel("kernel size")
    axes.set_ylabel(paper_label(rows, form))
    axes.set_title("paper")
    axes.grid(axis="y")
    few_ticks(axes.yaxis, 5)


def _kernel_labels(kernels: np.ndarray, form: FigureFormat) -> list[str]:
    return [str(kernel) if form.is_column else f"{kernel}{TIMES}{kernel}" for kernel in kernels]


def _rows_by_kernel_size(rows: Sequence[Row]) -> dict[int, Row]:
    """Kernel size -> row, ascending, of the sizes that were run."""
    steps = roadmap(rows[0].size)
    sizes = {f"{BASE}+kernel_size={kernel}": kernel for kernel in range(1, LARGEST + 1, 2)}
    sizes |= {name: steps[name].kernel_size for name in (BASE, CHANGED)}
    return dict(sorted((sizes[row.name], row) for row in rows if row.n and row.name in sizes))
