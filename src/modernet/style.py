"""How every figure looks and is saved: readable without colours, and the same bytes every time."""

import textwrap
from collections.abc import Iterable
from itertools import product
from math import cos, pi, sin
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.transforms import Bbox

# Okabe and Ito (2008), which people with any colour vision tell apart.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#595959"

# Ours is filled, the paper's hollow; one is told from the other in black and white too.
OURS = {"color": BLUE, "marker": "o", "markersize": 5}
PAPERS = {"color": VERMILLION, "marker": "D", "markersize": 5, "markerfacecolor": "white", "markeredgewidth": 1.2}
# Of lines: no two neighbours are of like lightness, dash or mark.
SERIES = [
    {"color": color, "linestyle": dash, "marker": mark}
    for color, dash, mark in (
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
    "svg.fonttype": "none",  # text stays text; other fonts than ours are narrower
    "svg.hashsalt": "modernet",  # else the ids in an SVG are random
    "text.parse_math": False,  # a $ in a record is a $
}
styled = rc_context(STYLE)  # as a decorator


def new(width: float, height: float, title: str, caption: str) -> Figure:
    """An empty figure of this many inches, with what it shows above and how to read it below."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    below = textwrap.fill(caption, int(width * 17))
    figure.supxlabel(below, x=0.01, ha="left", fontsize=7.5, color=GREY)
    return figure


def legend(figure: Figure, axes: Axes) -> None:
    """In a line of its own above the axes, where it covers nothing."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=6)


def save(figure: Figure, path: Path) -> list[Path]:
    """Write `path`.svg and `path`.png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_name(f"{path.name}.{kind}") for kind in ("svg", "png")]
    with rc_context(STYLE):
        for file in written:
            figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    return written


DIRECTIONS = [number * pi / 8 for number in (0, 1, 15, 2, 14, 8, 7, 9, 3, 13, 6, 10, 5, 11, 4, 12)]  # right before left
DISTANCES = (8, 14, 20, 27, 34, 46, 60, 76, 94, 120)  # points


def _around(x: float, y: float, radius: float) -> Bbox:
    return Bbox.from_extents(x - radius, y - radius, x + radius, y + radius)


def label(axes: Axes, points: Iterable[tuple[float, float, str]]) -> None:
    """Write a text beside each point (x, y, text), as near as it covers no mark, line, error bar or other text."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()  # now the axes are where they will be
    inside = axes.get_window_extent(renderer)
    drawn = [line.get_path().interpolated(1 if line.get_linestyle() == "None" else 30) for line in axes.lines]
    drawn += [path.interpolated(10) for bars in axes.collections for path in bars.get_paths()]
    marks = axes.transData.transform(np.concatenate([path.vertices for path in drawn]))
    taken = [_around(x, y, 3 * figure.dpi / 72) for x, y in marks]
    leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
    for x, y, text in sorted(points, key=lambda point: -point[1]):
        note = axes.annotate(text, (x, y), (0, 0), textcoords="offset points", fontsize=7.5, arrowprops=leader)
        note.set_in_layout(False)
        box = inside
        for distance, angle in product(DISTANCES, DIRECTIONS):
            across, up = cos(angle), sin(angle)
            note.xyann = distance * across, distance * up
            note.set_horizontalalignment("left" if across > 0.1 else "right" if across < -0.1 else "center")
            note.set_verticalalignment("bottom" if up > 0.1 else "top" if up < -0.1 else "center")
            note.update_positions(renderer)
            box = Text.get_window_extent(note, renderer)  # without its leader
            within = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
            assert note.arrow_patch
            note.arrow_patch.set_visible(distance > DISTANCES[0])
            if within and not box.count_overlaps(taken):
                break
        taken.append(box)
