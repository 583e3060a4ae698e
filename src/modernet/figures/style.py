"""The look that all figures have in common: legible without colours, identical bytes for identical data."""

import textwrap
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# The palette of Okabe and Ito (2008), which is safe for colour-blind readers.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#595959"

# Our marks are filled and the paper's are hollow, so a black-and-white print distinguishes them.
OURS = {"color": BLUE, "marker": "o", "markersize": 5}
PAPER = {"color": VERMILLION, "marker": "D", "markersize": 5, "markerfacecolor": "white", "markeredgewidth": 1.2}
# Lines of one plot: neighbours differ in lightness, dashes and marker.
SERIES = [
    {"color": color, "linestyle": dashes, "marker": marker}
    for color, dashes, marker in (
        (BLACK, "-", "o"),
        (ORANGE, "--", "s"),
        (GREEN, "-.", "^"),
        (SKY, ":", "D"),
        (BLUE, (0, (5, 1)), "v"),
        (PURPLE, (0, (1, 1)), "X"),
    )
]

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "svg.fonttype": "none",  # text stays text instead of outlines
    "svg.hashsalt": "modernet",  # deterministic ids; matplotlib draws them at random otherwise
    "text.parse_math": False,  # a $ in a record is no formula
}
styled = rc_context(STYLE)  # a decorator for functions that plot


def new_figure(width: float, height: float, title: str, caption: str) -> Figure:
    """An empty figure, `width` by `height` inches, with its title at the top and its caption at the bottom."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    figure.supxlabel(textwrap.fill(caption, int(width * 17)), x=0.01, ha="left", fontsize=7.5, color=GREY)
    return figure


def add_legend(figure: Figure, axes: Axes) -> None:
    """A legend outside the axes, at the upper right, where it hides no data."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=6)
