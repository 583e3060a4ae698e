"""The contribution of each step by four measures, beside the change of its cost."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from modernet.attribution.measures import COST_TOLERANCE, MEASURES, AttributionRow, Contribution
from modernet.config.names import variant_name
from modernet.figures.axes import INTERVAL, SHORT_INTERVAL, NotEnoughRuns, add_legend_above, few_ticks, label_rows
from modernet.figures.style import BLACK, BLUE, GREEN, PAGE, VERMILLION, FigureFormat, new_figure, styled
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
    "Lines: 95 % confidence intervals.{coverage} Hollow: MACs or parameters change by more than "
    "{tolerance:.0%}, so size explains part of the gain."
)


@styled
def plot_attribution(
    rows: Sequence[AttributionRow], title: str, coverage: Sequence[str] = (), *, form: FigureFormat = PAGE
) -> Figure:
    """Contributions to top-1 in points, and factors of MACs, one step per row.

    `coverage` are sentences about the intervals of Shapley values, as from `shapley_coverage`, for the caption.
    Raises NotEnoughRuns where no contribution can be told from zero: without intervals, as after a single seed, or with
    intervals that all include it.
    """
    _check_contributions(rows)
    height = 1.0 + (0.36 if form.is_column else 0.4) * len(rows)
    about_shapley = f" Shapley values: {' '.join(coverage)}" if coverage else ""
    figure = new_figure(form, height, title, CAPTION.format(coverage=about_shapley, tolerance=COST_TOLERANCE))
    panels = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1.2))
    gains, costs = panels
    label_rows(panels, [variant_name(row.step) for row in rows])
    gains.set_xlabel(f"points of top-1,\n{SHORT_INTERVAL if form.is_column else INTERVAL}")
    costs.set_xlabel("factor\nof MACs")
    for axes, neutral in ((gains, 0), (costs, 1)):
        axes.axvline(neutral, color="0.4", linewidth=0.8, zorder=1)
    for number, row in enumerate(rows):
        for measure, contribution in row.contributions.items():
            tooltip = contribution_tooltip(row.step, MEASURES[measure], contribution)
            _plot_contribution(gains, costs, number + OFFSETS[measure], measure, contribution, tooltip)
    few_ticks(gains.xaxis, 4 if form.is_column else 6)
    costs.set_xscale("log", base=2)
    costs.xaxis.set_major_locator(LogLocator(base=4 if form.is_column else 2, numticks=6))
    costs.xaxis.set_major_formatter(lambda factor, _: f"{factor:g}")
    costs.xaxis.set_minor_locator(NullLocator())
    handles = [Line2D([], [], label=name, **_look(measure)) for measure, name in MEASURES.items()]
    add_legend_above(gains, 2 if form.is_column else len(handles), handles, start=-0.8 if form.is_column else 0)
    return figure


def _check_contributions(rows: Sequence[AttributionRow]) -> None:
    contributions = [contribution for row in rows for contribution in row.contributions.values()]
    known = [one for one in contributions if one.low is not None and one.high is not None]
    if not [one for one in known if one.low != one.high]:
        raise NotEnoughRuns("no contribution has a confidence interval; two seeds or more give one")
    if not [one for one in known if (one.low or 0) > 0 or (one.high or 0) < 0]:
        raise NotEnoughRuns(f"the {INTERVAL} of every contribution includes zero")


def _look(measure: str, hollow: bool = False) -> dict[str, Any]:
    color, marker = LOOKS[measure]
    face = "white" if hollow else color
    return {"color": color, "marker": marker, "markersize": 4, "markerfacecolor": face, "linestyle": ""}


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
