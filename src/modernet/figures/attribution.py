"""The figure of an attribution: a step a row, its four gains beside each other, and what they cost."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from modernet.attribution.measures import MEASURES, Gain, Row, cell, factors
from modernet.figures.style import BLACK, BLUE, GREEN, VERMILLION, new, styled, tips

LOOKS = {
    "path": (BLACK, "o"),
    "leave_one_out": (VERMILLION, "^"),
    "add_one_in": (BLUE, "v"),
    "shapley": (GREEN, "D"),
}
CAPTION = "Lines: 95 % intervals. Hollow: GMACs or parameters change by over a tenth: the gain is one of size too."
OFFSETS = dict(zip(LOOKS, (-0.27, -0.09, 0.09, 0.27), strict=True))  # in rows, from the middle of a step's


def _look(measure: str, hollow: bool = False) -> dict[str, Any]:
    color, marker = LOOKS[measure]
    face = "white" if hollow else color
    return {"color": color, "marker": marker, "markersize": 5.5, "markerfacecolor": face, "linestyle": ""}


def _tip(step: str, measure: str, gain: Gain) -> str:
    return f"{step}, {measure}\n{cell(gain)} points\nGMACs and parameters times {factors(gain)}"


@styled
def figure(rows: Sequence[Row], title: str) -> Figure:
    """Gains in points with 95 % intervals, and factors of GMACs; hollow where a step changes the cost much."""
    made = new(10, 1.8 + 0.42 * len(rows), title, CAPTION)
    gains, costs = made.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    for axes, neutral, label in ((gains, 0, "top-1 (points)"), (costs, 1, "GMACs, after / before")):
        for place in range(1, len(rows), 2):
            axes.axhspan(place - 0.5, place + 0.5, color="0.95", linewidth=0, zorder=0)
        axes.axvline(neutral, color="0.4", linewidth=0.8, zorder=1)
        axes.set_xlabel(label)
    for place, row in enumerate(rows):
        for measure, gain in row.gains.items():
            if gain.mean is None:
                continue
            y, look = place + OFFSETS[measure], _look(measure, gain.costly)
            if gain.low is not None and gain.high is not None:
                gains.plot([gain.low, gain.high], [y, y], color=look["color"], linewidth=1.2)
            explained = [_tip(row.step, MEASURES[measure], gain)]
            for axes, value in ((gains, gain.mean), (costs, gain.gmacs)):
                (mark,) = axes.plot(value, y, zorder=3, **look)
                tips(mark, explained)
    gains.set_yticks(range(len(rows)), [row.step for row in rows])
    gains.set_ylim(len(rows) - 0.5, -0.5)  # the first step on top
    costs.set_xscale("log", base=2)
    costs.xaxis.set_major_formatter(lambda factor, _: f"{factor:g}")
    costs.xaxis.set_minor_locator(NullLocator())
    costs.tick_params(left=False)
    keys = [Line2D([], [], label=name, **_look(measure)) for measure, name in MEASURES.items()]
    made.legend(handles=keys, loc="outside upper right", ncols=len(keys))
    return made
