"""Parts that several figures have in common: rows as arrays, intervals, costs, captions."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.markers import CARETDOWN, CARETLEFT, CARETRIGHT, CARETUP
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from modernet.analysis.paper import reference_rows
from modernet.analysis.row import Row
from modernet.analysis.stats import confidence_interval
from modernet.config.names import study_name
from modernet.figures.style import STRIPE, FigureFormat
from modernet.figures.svg import add_tooltips

INTERVAL, SHORT_INTERVAL = "95 % confidence interval", "95 % CI"
INTERVALS_NOTE = f"Error bars: {INTERVAL} of the mean (Student's t)."
POOLED_NOTE = f"Error bars: {INTERVAL} of the mean, from the std pooled over networks."
HOLLOW_NOTE = "A hollow dot has no confidence interval, as after a single seed."
MACS_NOTE = "MACs: convolutions and linear layers, one image."
PAPER_DATA = "ImageNet-1K"
MANY_DECADES = 300  # ratio of the ends of an axis from which on it has powers of ten alone


class NotEnoughRuns(ValueError):
    """The records do not contain what the figure shows."""


def group_title(rows: Sequence[Row], title: str) -> str:
    """`title`, by default the name of the rows' group."""
    return title or study_name(*rows[0].group)


def to_array(rows: Sequence[Row], field: str) -> NDArray[np.float64]:
    """(rows,) with NaN for unknown values, which matplotlib does not draw."""
    return np.array([getattr(row, field) for row in rows], dtype=float)


def confidence_bars(rows: Sequence[Row], field: str) -> NDArray[np.float64]:
    """(2, rows): lengths of the confidence interval of `field` below and above its mean; 0 where there is none."""
    mean, low, high = (to_array(rows, name) for name in (field, f"{field}_low", f"{field}_high"))
    return np.nan_to_num(np.stack([mean - low, high - mean]))


def paper_bars(rows: Sequence[Row]) -> NDArray[np.float64]:
    """(2, rows): the same for the paper's accuracies, from the std and the number of seeds that it prints."""
    bars = np.zeros((2, len(rows)))
    for number, row in enumerate(rows):
        printed = reference_rows(row.size).get(row.name)
        sample = printed.sample if printed else None
        if sample and (interval := confidence_interval(sample)):
            bars[:, number] = sample.mean - interval[0], interval[1] - sample.mean
    return bars


def check_visible(rows: Sequence[Row]) -> None:
    """Raises NotEnoughRuns where noise hides the differences: half of the intervals are wider than all means."""
    widths = [row.top1_high - row.top1_low for row in rows if row.top1_low is not None and row.top1_high is not None]
    means = [row.top1 for row in rows if row.top1 is not None]
    if len(widths) > len(means) / 2 and median(widths) > max(means) - min(means):
        raise NotEnoughRuns(f"most {INTERVAL}s are wider than the range of the means; more seeds narrow them")


def plot_means(
    axes: Axes,
    x: Any,
    y: Any,
    look: dict[str, Any],
    tooltips: Sequence[str],
    label: str = "",
    **bars: NDArray[np.float64],
) -> None:
    """Dots with intervals (`xerr` or `yerr`, (2, dots)); a dot whose interval has no length is hollow."""
    width = {"elinewidth": 1.1, "capsize": 0, "linestyle": "none"}
    (lengths,) = bars.values()
    has_interval = lengths.any(axis=0)
    for members, fill in ((has_interval, {}), (~has_interval, {"markerfacecolor": "white"})):
        if members.any():
            chosen = np.where(members, np.asarray(x, dtype=float), np.nan)
            dots = axes.errorbar(chosen, y, **{**width, **look, **fill, **bars}, label=label)
            add_tooltips(dots[0], tooltips)


def mean_label(name: str, has_intervals: bool, form: FigureFormat) -> str:
    """The label of an axis of means, which names the error bars where there are any."""
    if not has_intervals:
        return name
    return f"{name},\nmean, {SHORT_INTERVAL}" if form.is_column else f"{name},\nmean and {INTERVAL}"


def accuracy_label(rows: Sequence[Row], form: FigureFormat) -> str:
    """The label of an axis of the rows' accuracies."""
    return mean_label("top-1 (%)", any(row.top1_low is not None for row in rows), form)


def paper_size(rows: Sequence[Row]) -> str:
    """The size of the paper's networks beside these rows; rows that are not in the paper have none."""
    return next((row.paper_size for row in rows if row.paper_size), "")


def paper_label(rows: Sequence[Row], form: FigureFormat) -> str:
    """The label of an axis of the paper's accuracies."""
    return f"top-1 (%),\n{PAPER_DATA}{'' if form.is_column else f', size {paper_size(rows)}'}"


def few_ticks(axis: Axis, most: int) -> None:
    """At most this many intervals between round numbers."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))


def seeds_note(rows: Sequence[Row], intervals: str = INTERVALS_NOTE, field: str = "top1") -> str:
    """Sentences for the caption: the number of seeds, and what the error bars of `field`, or none, mean."""
    fewest, most = min(row.n for row in rows), max(row.n for row in rows)
    has_interval = {getattr(row, f"{field}_low") is not None for row in rows if getattr(row, field) is not None}
    if most == 1 and True not in has_interval:
        return "One seed per variant, so no error bars."
    seeds = str(fewest) if fewest == most else f"{fewest} to {most}"
    return f"{seeds} seeds per variant. {intervals}{f' {HOLLOW_NOTE}' * (False in has_interval)}"


def accuracy_limits(rows: Sequence[Row], others: Sequence[float] = ()) -> tuple[float, float]:
    """Ends of an axis of accuracies, between 0 and 100, that shows all intervals and `others`.

    Wide intervals are cut where the axis would go beyond the means by more than their range.
    """
    means, bars = to_array(rows, "top1"), confidence_bars(rows, "top1")
    span = np.ptp(means) or bars.max() or 1.0
    low = max(np.min(means - bars[0]), np.min(means) - span)
    high = min(np.max(means + bars[1]), np.max(means) + span)
    low, high = min(low, *others, high), max(high, *others, low)
    margin = 0.05 * (high - low) or 1.0
    return max(low - margin, 0.0), min(high + margin, 100.0)


def cut_note(rows: Sequence[Row], limits: tuple[float, float]) -> str:
    """A sentence for the caption where intervals go beyond the limits of the axis."""
    return " Arrows: the interval goes on beyond the axis." if _cut_ends(rows, limits).any() else ""


def _cut_ends(rows: Sequence[Row], limits: tuple[float, float]) -> NDArray[np.bool_]:
    """(2, rows): whether the interval goes on below the first limit, and above the second."""
    return np.stack([to_array(rows, "top1_low") < limits[0], to_array(rows, "top1_high") > limits[1]])


def mark_cut_bars(
    axes: Axes, rows: Sequence[Row], positions: Sequence[float], color: str, is_vertical: bool = False
) -> None:
    """An arrow at the end of the axis of accuracies for each interval that goes on, at the row's position."""
    limits = axes.get_ylim() if is_vertical else axes.get_xlim()
    markers = (CARETDOWN, CARETUP) if is_vertical else (CARETLEFT, CARETRIGHT)
    for end, marker, is_cut in zip(limits, markers, _cut_ends(rows, limits), strict=True):
        for position in np.asarray(positions)[is_cut]:
            x, y = (position, end) if is_vertical else (end, position)
            axes.plot([x], [y], marker=marker, color=color, linestyle="", clip_on=False)


def set_plain_log_scale(axes: Axes) -> None:
    """A logarithmic x axis with few plain numbers. Ticks follow the limits, which later data must not change."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < MANY_DECADES else (1,)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.xaxis.set_minor_locator(NullLocator())


def macs_unit(rows: Iterable[Row]) -> tuple[float, str]:
    """The unit in which the MACs of these rows have few digits: GMACs per unit, and its name."""
    largest = max(row.gmacs for row in rows if row.gmacs is not None)
    return (1, "GMACs") if largest >= 0.5 else (1000, "MMACs")


def rows_height(count: int, form: FigureFormat) -> float:
    """Inches of a figure with this number of lines, its axes and their labels."""
    return 0.95 + (0.165 if form.is_column else 0.2) * max(count, 3)


def label_rows(panels: Sequence[Axes], labels: Sequence[str]) -> Sequence[int]:
    """Set up one horizontal line per label in panels that share their y axis, the first label at the top.

    Returns their y coordinates.
    """
    for axes in panels:
        for number in range(1, len(labels), 2):
            axes.axhspan(number - 0.5, number + 0.5, color=STRIPE, linewidth=0, zorder=0)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(labels)), labels)
    panels[0].set_ylim(len(labels) - 0.5, -0.5)
    return range(len(labels))


def add_legend_above(axes: Axes, columns: int, handles: Sequence[Artist] | None = None, start: float = 0) -> None:
    """A legend above the axes, where it hides no data; by default of the labelled lines.

    `start` is its left edge in widths of the axes.
    """
    handles = handles or axes.get_legend_handles_labels()[0]
    spacing = {"columnspacing": 1.2, "handletextpad": 0.5, "borderaxespad": 0.2}
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(start, 1), ncols=columns, **spacing)
