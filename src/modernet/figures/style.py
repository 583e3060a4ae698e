"""How every figure looks and is saved: readable without colours, and the same bytes every time."""

import io
import json
import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import product
from math import cos, pi, sin
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
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


TIPS = "tips:"  # begins the id of an artist whose marks have tooltips; the texts follow
NAMESPACE = "http://www.w3.org/2000/svg"
NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # no XML file may hold these
ElementTree.register_namespace("", NAMESPACE)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


def tips(marks: Line2D | Iterable[Patch], texts: Sequence[str]) -> None:
    """Say what each mark of a line, or each bar, is: the SVG has it as that mark's tooltip."""
    if isinstance(marks, Line2D):
        drawn = [bool(np.isfinite(point).all()) for point in np.asarray(marks.get_xydata())]
        marks.set_gid(TIPS + json.dumps([text for text, one in zip(texts, drawn, strict=True) if one]))
    else:
        for bar, text in zip(marks, texts, strict=True):
            bar.set_gid(TIPS + json.dumps([text]))


def _explained(shape: ElementTree.Element, text: str) -> None:
    """Turn a shape into a group of it with its tooltip; around a mark a few points of room to hit it."""

    drawn, at = shape.tag, dict(shape.attrib)
    shape.tag = f"{{{NAMESPACE}}}g"
    shape.attrib.clear()
    shape.set("class", "mark")
    ElementTree.SubElement(shape, f"{{{NAMESPACE}}}title").text = NO_XML.sub("\ufffd", text)
    if "x" in at:
        room = {"cx": at["x"], "cy": at["y"], "r": "7", "style": "fill: none; pointer-events: all"}
        ElementTree.SubElement(shape, f"{{{NAMESPACE}}}circle", room)
    ElementTree.SubElement(shape, drawn, at)


def svg(figure: Figure, salt: str = "modernet") -> str:
    """The figure as an <svg> whose marks have their tooltips.

    Figures with other salts can share a page: no id comes twice.
    """
    file = io.StringIO()
    with rc_context({**STYLE, "svg.hashsalt": salt}):
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ElementTree.fromstring(NO_XML.sub("\ufffd", file.getvalue()))
    for definitions in root.findall(f"{{{NAMESPACE}}}defs"):
        for rules in definitions.findall(f"{{{NAMESPACE}}}style"):
            definitions.remove(rules)  # which would be the whole page's
    root.set("style", "stroke-linejoin: round; stroke-linecap: butt")
    for group in root.findall(f".//{{{NAMESPACE}}}g[@id]"):
        name = group.attrib.pop("id")
        if name.startswith(TIPS):
            shapes = group.findall(f".//{{{NAMESPACE}}}use") or group.findall(f"{{{NAMESPACE}}}path")
            for shape, text in zip(shapes, json.loads(name.removeprefix(TIPS)), strict=True):
                _explained(shape, text)
    return ElementTree.tostring(root, encoding="unicode")


def save(figure: Figure, path: Path) -> list[Path]:
    """Write `path`.svg and `path`.png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_name(f"{path.name}.{kind}") for kind in ("svg", "png")]
    written[0].write_text(svg(figure) + "\n", encoding="utf-8")
    with rc_context(STYLE):
        figure.savefig(written[1])
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
