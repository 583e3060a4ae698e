"""The figure of an attribution: a step a row, its four gains beside each other, and what they cost."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from modernet.attribution import MEASURES, Attribution

# Colours of Okabe and Ito (2008), which everyone tells apart; the shapes do it in greyscale.
LOOKS = {
    "path": ("#000000", "o"),
    "leave_one_out": ("#D55E00", "^"),
    "add_one_in": ("#0072B2", "v"),
    "shapley": ("#009E73", "D"),
}
OFFSETS = dict(zip(LOOKS, (-0.27, -0.09, 0.09, 0.27), strict=True))  # in rows, from the middle of a step's
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "modernet",  # the same figure is the same file
    "text.parse_math": False,
}


def _look(measure: str, hollow: bool = False) -> dict[str, Any]:
    color, marker = LOOKS[measure]
    face = "white" if hollow else color
    return {"color": color, "marker": marker, "markersize": 5.5, "markerfacecolor": face, "linestyle": ""}


def figure(result: Attribution) -> Figure:
    """Gains in points with 95 % intervals, and factors of GMACs; hollow where a step changes the cost much."""
    study, rows = result.plan.study, result.rows
    with matplotlib.rc_context(STYLE):
        made = Figure(figsize=(9, 1.6 + 0.42 * len(rows)), layout="constrained")
        gains, costs = made.subplots(1, 2, sharey=True, width_ratios=(3, 1))
        for axes, neutral, label in ((gains, 0, "top-1, points (95 % interval)"), (costs, 1, "GMACs, after / before")):
            for place in range(1, len(rows), 2):
                axes.axhspan(place - 0.5, place + 0.5, color="0.95", linewidth=0, zorder=0)
            axes.axvline(neutral, color="0.4", linewidth=0.8, zorder=1)
            axes.set_xlabel(label)
        for place, row in enumerate(rows):
            for measure, gain in row.gains.items():
                y, look = place + OFFSETS[measure], _look(measure, gain.costly)
                if gain.low is not None and gain.high is not None:
                    gains.plot([gain.low, gain.high], [y, y], color=look["color"], linewidth=1.2)
                if gain.mean is not None:
                    gains.plot(gain.mean, y, zorder=3, **look)
                    costs.plot(gain.gmacs, y, zorder=3, **look)
        gains.set_yticks(range(len(rows)), [row.step for row in rows])
        gains.set_ylim(len(rows) - 0.5, -0.5)  # the first step on top
        costs.set_xscale("log", base=2)
        costs.xaxis.set_major_formatter(lambda factor, _: f"{factor:g}")
        costs.xaxis.set_minor_locator(NullLocator())
        costs.tick_params(left=False)
        made.suptitle(
            f"What each step adds: {study.end.protocol}, size {study.end.size}, {len(study.seeds)} "
            f"seed{'s' * (len(study.seeds) > 1)}, {2 * len(result.pairs)} orders"
        )
        keys = [Line2D([], [], label=name, **_look(measure)) for measure, name in MEASURES.items()]
        square: dict[str, Any] = _look("path", hollow=True) | {"marker": "s"}
        keys += [Line2D([], [], label="hollow: the cost changes as well", **square)]
        made.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False)
    return made


def save(made: Figure, path: Path) -> list[Path]:
    """As SVG and as PNG."""
    paths = [path.with_suffix(".svg"), path.with_suffix(".png")]
    with matplotlib.rc_context(STYLE):
        made.savefig(paths[0], metadata={"Date": None})
        made.savefig(paths[1], dpi=160)
    return paths
