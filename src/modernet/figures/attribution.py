"""The contribution of each step by four measures, beside the change of its cost."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from modernet.attribution.measures import COST_TOLERANCE, MEASURES, AttributionRow, Contribution
from modernet.figures.style import BLACK, BLUE, GREEN, VERMILLION, new_figure, styled
from modernet.figures.svg import add_tooltips
from modernet.figures.tooltips import contribution_tooltip

LOOKS = {
    "path": (BLACK, "o"),
    "leave_one_out": (VERMILLION, "^"),
    "add_one_in": (BLUE, "v"),
    "shapley": (GREEN, "D"),
}
OFFSETS = dict(zip(LOOKS, (-0.27, -0.09, 0.09, 0.27), strict=True))  # from the middle of a step's row, in rows
CAPTION = (
    "Lines: 95 % confidence intervals. Hollow: GMACs or parameters change by more than "
    f"{COST_TOLERANCE:.0%}, so size explains part of the gain."
)


@styled
def plot_attribution(rows: Sequence[AttributionRow], title: str) -> Figure:
    """Contributions to top-1 in points, and factors of GMACs, one step per row."""
    figure = new_figure(10, 1.8 + 0.42 * len(rows), title, CAPTION)
    gains, costs = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    _add_background(gains, len(rows), neutral=0, label="top-1 (points)")
    _add_background(costs, len(rows), neutral=1, label="GMACs, after / before")
    for number, row in enumerate(rows):
        for measure, contribution in row.contributions.items():
            tooltip = contribution_tooltip(row.step, MEASURES[measure], contribution)
            _plot_contribution(gains, costs, number + OFFSETS[measure], measure, contribution, tooltip)
    gains.set_yticks(range(len(rows)), [row.step for row in rows])
    gains.set_ylim(len(rows) - 0.5, -0.5)  # the first step at the top
    costs.set_xscale("log", base=2)
    costs.xaxis.set_major_formatter(lambda factor, _: f"{factor:g}")
    costs.xaxis.set_minor_locator(NullLocator())
    costs.tick_params(left=False)
    handles = [Line2D([], [], label=name, **_look(measure)) for measure, name in MEASURES.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    return figure


def _look(measure: str, hollow: bool = False) -> dict[str, Any]:
    color, marker = LOOKS[measure]
    face = "white" if hollow else color
    return {"color": color, "marker": marker, "markersize": 5.5, "markerfacecolor": face, "linestyle": ""}


def _add_background(axes: Axes, rows: int, neutral: float, label: str) -> None:
    """Shade every second row and draw a line at the value of no change."""
    for number in range(1, rows, 2):
        axes.axhspan(number - 0.5, number + 0.5, color="0.95", linewidth=0, zorder=0)
    axes.axvline(neutral, color="0.4", linewidth=0.8, zorder=1)
    axes.set_xlabel(label)


def _plot_contribution(
    gains: Axes, costs: Axes, y: float, measure: str, contribution: Contribution, tooltip: str
) -> None:
    if contribution.mean is None or contribution.gmacs is None:  # not run
        return
    look = _look(measure, hollow=contribution.changes_cost)
    if contribution.low is not None and contribution.high is not None:
        gains.plot([contribution.low, contribution.high], [y, y], color=look["color"], linewidth=1.2)
    for axes, value in ((gains, contribution.mean), (costs, contribution.gmacs)):
        (mark,) = axes.plot(value, y, zorder=3, **look)
        add_tooltips(mark, [tooltip])
