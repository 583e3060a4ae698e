"""Accuracy against the kernel size of the depthwise convolution."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from modernet.analysis.table import Row
from modernet.config.roadmap import roadmap
from modernet.figures.axes import (
    GMACS_NOTE,
    NotEnoughRuns,
    add_paper_axis,
    confidence_bars,
    label_top1_axis,
    paper_offset,
    seeds_note,
    to_array,
)
from modernet.figures.style import GREY, OURS, PAPER, add_legend, new_figure, styled
from modernet.figures.svg import add_tooltips
from modernet.figures.tooltips import paper_tooltip, row_tooltip

BASE, CHANGED = "move_up_depthwise", "kernel_size"  # the step of the sweep, and the step that is its 7x7
LARGEST = 99


@styled
def plot_kernel_size(rows: Sequence[Row]) -> Figure:
    """Top-1 of a group's move_up_depthwise per kernel size, with each seed. Raises NotEnoughRuns below two sizes."""
    sweep = _rows_by_kernel_size(rows)
    if len(sweep) < 2:
        raise NotEnoughRuns("fewer than two kernel sizes of move_up_depthwise were run")
    kernels, sizes = np.array(list(sweep)), list(sweep.values())
    anchor, offset = paper_offset(sizes)
    caption = (
        "move_up_depthwise with other kernel sizes. Filled dots: the mean; small circles: single seeds. "
        f"{seeds_note(sizes, '95 % confidence interval of the mean')} Diamonds: the paper's results on the right "
        f"axis, which has the same scale and is shifted to match ours at kernel size {kernels[sizes.index(anchor)]}. "
        f"{GMACS_NOTE}"
    )
    figure = new_figure(6, 4.2, f"{anchor.group}: kernel size", caption)
    axes = figure.subplots()
    error_bars = confidence_bars(sizes, "top1")
    dots = axes.errorbar(kernels, to_array(sizes, "top1"), yerr=error_bars, **OURS, capsize=2.5, label="ours")
    add_tooltips(dots[0], [row_tooltip(row) for row in sizes])
    for kernel, row in sweep.items():
        axes.plot([kernel - 0.25] * row.n, row.top1s, "o", markersize=4, color="white", markeredgecolor=GREY)
    paper_top1 = to_array(sizes, "paper_top1") + offset
    (diamonds,) = axes.plot(kernels + 0.25, paper_top1, **PAPER, linestyle=":", label="paper")
    add_tooltips(diamonds, [paper_tooltip(row) for row in sizes])
    axes.set_xticks(kernels, [f"{kernel} x {kernel}\n{row.gmacs:.4f}" for kernel, row in sweep.items()])
    axes.set_xlabel("kernel size, and GMACs")
    axes.grid(axis="y")
    label_top1_axis(axes.yaxis)
    add_paper_axis(axes, "right", offset, anchor.paper_size)
    add_legend(figure, axes)
    return figure


def _rows_by_kernel_size(rows: Sequence[Row]) -> dict[int, Row]:
    """Kernel size -> row, ascending, of the sizes that were run."""
    steps = roadmap(rows[0].size)
    sizes = {f"{BASE}+kernel_size={kernel}": kernel for kernel in range(1, LARGEST + 1, 2)}
    sizes |= {name: steps[name].kernel_size for name in (BASE, CHANGED)}
    return dict(sorted((sizes[row.name], row) for row in rows if row.n and row.name in sizes))
