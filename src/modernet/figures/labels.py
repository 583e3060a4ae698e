"""Text labels beside the points of a scatter plot, without overlaps."""

from collections.abc import Iterable
from itertools import product
from math import cos, pi, sin

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from modernet.figures.style import GREY

DIRECTIONS = [number * pi / 8 for number in (0, 1, 15, 2, 14, 8, 7, 9, 3, 13, 6, 10, 5, 11, 4, 12)]  # right before left
DISTANCES = (5, 8, 12, 16, 22, 30, 40, 55, 75, 100)  # points
LEADER = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
MARK_RADIUS = 2.5  # points


def add_labels(axes: Axes, points: Iterable[tuple[float, float, str]]) -> None:
    """Write a text beside each point (x, y, text), as near as possible without covering marks, lines or other texts."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()  # the layout engine moves the axes to their final position
    inside = axes.get_window_extent(renderer)
    occupied = _boxes_of_marks(axes, MARK_RADIUS * figure.dpi / 72)
    for x, y, text in sorted(points, key=lambda point: -point[1]):
        label = axes.annotate(text, (x, y), (0, 0), textcoords="offset points", fontsize="small", arrowprops=LEADER)
        label.set_in_layout(False)
        occupied.append(_move_to_free_space(label, inside, occupied, renderer))


def _boxes_of_marks(axes: Axes, radius: float) -> list[Bbox]:
    """A square of this half width, in pixels, around each mark and along each line and error bar."""
    paths = [line.get_path().interpolated(1 if line.get_linestyle() == "None" else 30) for line in axes.lines]
    paths += [path.interpolated(10) for bars in axes.collections for path in bars.get_paths()]
    pixels = axes.transData.transform(np.concatenate([path.vertices for path in paths]))
    return [Bbox.from_extents(x - radius, y - radius, x + radius, y + radius) for x, y in pixels]


def _move_to_free_space(label: Annotation, inside: Bbox, occupied: list[Bbox], renderer: RendererAgg) -> Bbox:
    """Move the label to the nearest free position, the last one tried where none is free; returns its box."""
    assert label.arrow_patch
    box = inside
    for distance, angle in product(DISTANCES, DIRECTIONS):
        right, up = cos(angle), sin(angle)
        label.xyann = distance * right, distance * up
        label.set_horizontalalignment("left" if right > 0.1 else "right" if right < -0.1 else "center")
        label.set_verticalalignment("bottom" if up > 0.1 else "top" if up < -0.1 else "center")
        label.update_positions(renderer)
        label.arrow_patch.set_visible(distance > DISTANCES[0])
        box = Text.get_window_extent(label, renderer)  # Annotation's own extent includes the leader
        within = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
        if within and not box.count_overlaps(occupied):
            break
    return box
