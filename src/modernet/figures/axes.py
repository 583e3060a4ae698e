"""Parts that several figures have in common: rows as arrays, error bars, captions, and the paper's axis."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from numpy.typing import NDArray

from modernet.analysis.table import Row
from modernet.figures.style import PAPER

TOP1_LABEL = "top-1 (%)"
GMACS_NOTE = "GMACs: convolutions and linear layers, one image."


class NotEnoughRuns(ValueError):
    """The records do not contain what the figure shows."""


def to_array(rows: Sequence[Row], field: str) -> NDArray[np.float64]:
    """(rows,) with NaN for unknown values, which matplotlib does not draw."""
    return np.array([getattr(row, field) for row in rows], dtype=float)


def std_bars(rows: Sequence[Row]) -> NDArray[np.float64]:
    """(rows,): one standard deviation of top-1; 0 where there is a single seed."""
    return np.nan_to_num(to_array(rows, "top1_std"))


def confidence_bars(rows: Sequence[Row], field: str) -> NDArray[np.float64]:
    """(2, rows): lengths of the confidence interval of `field` below and above its mean; 0 where there is none."""
    mean, low, high = (to_array(rows, name) for name in (field, f"{field}_low", f"{field}_high"))
    return np.nan_to_num(np.stack([mean - low, high - mean]))


def seeds_note(rows: Sequence[Row], error_bars: str = "") -> str:
    """A sentence for the caption: the number of seeds and, with several seeds, the meaning of the error bars."""
    fewest, most = min(row.n for row in rows), max(row.n for row in rows)
    if most == 1:
        return "One seed per variant, so no error bars."
    seeds = str(fewest) if fewest == most else f"{fewest} to {most}"
    return f"{seeds} seeds per variant{f'; error bars: {error_bars}' if error_bars else ''}."


def paper_offset(rows: Sequence[Row]) -> tuple[Row, float]:
    """The row at which the paper's accuracies are aligned with ours, and ours minus the paper's there, in points.

    That row is the first one that the paper has too; the offset is NaN where there is none.
    """
    anchor = next((row for row in rows if row.paper_top1 is not None), rows[0])
    return anchor, float(np.subtract(*to_array([anchor], "top1"), *to_array([anchor], "paper_top1")))


def add_paper_axis(axes: Axes, side: Literal["top", "right"], offset: float, size: str | None) -> None:
    """A second axis in the paper's accuracies, shifted by `offset` points; nothing where the offset is NaN."""
    if not np.isfinite(offset):
        return
    functions = (lambda ours: np.subtract(ours, offset)), (lambda paper: np.add(paper, offset))
    axis: Axis
    if side == "top":
        axis = axes.secondary_xaxis("top", functions=functions).xaxis
    else:
        axis = axes.secondary_yaxis("right", functions=functions).yaxis
    axis.set_label_text(f"paper: ImageNet-1K top-1 (%), size {size}", color=PAPER["color"])
    axis.set_tick_params(colors=PAPER["color"])


def label_top1_axis(axis: Axis) -> None:
    """Label an axis of our accuracies. The paper's aligned marks may lie above 100 %, where the axis has no ticks."""
    axis.set_label_text(TOP1_LABEL)
    axis.set_major_formatter(lambda value, _: f"{value:g}" if value <= 100 else "")


def label_rows(axes: Axes, rows: Sequence[Row]) -> NDArray[np.int64]:
    """Set up one horizontal line per row, the first at the top; returns their y coordinates, (rows,)."""
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return np.arange(len(rows))


def add_text_column(axes: Axes, title: str, texts: Iterable[str]) -> None:
    """A column of text to the right of the axes, one line per row."""
    for y, text in enumerate([title, *texts], -1):
        axes.text(1.02, max(y, -0.8), text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
