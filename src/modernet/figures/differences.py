"""What each step changes: the difference to the previous step, ours and the paper's."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from modernet.analysis.layout import POOLED, WELCH
from modernet.analysis.table import Row
from modernet.figures.axes import (
    NotEnoughRuns,
    add_text_column,
    confidence_bars,
    label_rows,
    seeds_note,
    to_array,
)
from modernet.figures.style import OURS, PAPER, add_legend, new_figure, styled
from modernet.figures.svg import add_tooltips
from modernet.figures.tooltips import difference_tooltip, paper_difference_tooltip


@styled
def plot_differences(rows: Sequence[Row]) -> Figure:
    """Differences with confidence intervals, one step per line. Raises NotEnoughRuns where no step has one."""
    steps = [row for row in rows if row.is_step and row.difference is not None]
    if not steps:
        raise NotEnoughRuns("no two neighbouring steps were run")
    caption = (
        "Difference to the previous step in percentage points of top-1, with 95 % confidence intervals. Dots: ours"
        f"{_describe_intervals(steps)}. {seeds_note([row for row in rows if row.is_step and row.n])} Diamonds: the "
        f"paper's, size {steps[0].paper_size} on ImageNet-1K; its intervals follow from the std and n that it reports "
        "(Welch's test). Right: whether our sign agrees with the paper's; unclear "
        "where either interval includes zero, or ours is missing."
    )
    figure = new_figure(7.2, 1.8 + 0.3 * len(steps), f"{steps[0].group}: difference per step", caption)
    axes = figure.subplots()
    heights = label_rows(axes, steps)
    axes.axvline(0, color="black", linewidth=0.8)
    for field, shift, look, label, tooltip in (
        ("difference", -0.16, OURS, "ours", difference_tooltip),
        ("paper_difference", 0.16, PAPER, "paper", paper_difference_tooltip),
    ):
        mean, error_bars = to_array(steps, field), confidence_bars(steps, field)
        style = {**look, "linestyle": "none", "capsize": 2.5}
        marks = axes.errorbar(mean, heights + shift, xerr=error_bars, label=label, **style)
        add_tooltips(marks[0], [tooltip(row) for row in steps])
    axes.set_xlabel("difference to the previous step (points)")
    add_text_column(axes, "sign", [row.sign or "" for row in steps])
    add_legend(figure, axes)
    return figure


def _describe_intervals(steps: Sequence[Row]) -> str:
    """The origin of our intervals, for the caption."""
    tests = {row.difference_test for row in steps}
    if WELCH in tests and POOLED in tests:
        return ", with the pooled std, or by Welch's test where the std is unequal"
    if WELCH in tests:
        return ", by Welch's test"
    return ", with the std of the runs pooled over the steps" if POOLED in tests else ""
