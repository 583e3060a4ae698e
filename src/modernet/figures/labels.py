"""Text labels beside the points of a scatter plot, without overlaps."""

from collections.abc import Iterable
from itertools import product
from math import cos, pi, sin
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from modernet.figures.style import GREY

DIRECTIONS = [number * pi / 8 for number in (0, 1, 15, 2, 14, 8, 7, 9, 3, 13, 6, 10, 5, 11, 4, 12)]  # right before left
DISTANCES = (5, 8, 12, 16, 22, 30, 40, 55, 75, 100)  # points
LEADER = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
MARK_RADIUS = 2.5  # points
# Part of the text on the left of its anchor, or below it -> name of this alignment.
HORIZONTAL: dict[float, Literal["left", "center", "right"]] = {0: "left", 0.5: "center", 1: "right"}
VERTICAL: dict[float, Literal["bottom", "center", "top"]] = {0: "bottom", 0.5: "center", 1: "top"}
Boxes = np.ndarray  # (..., 4): left, bottom, right, top in pixels


class Spot(NamedTuple):
    """The anchor of a text, seen from its point: a distance in points of type, and a unit vector."""

    distance: float
    right: float
    up: float

    @property
    def part_on_the_left(self) -> float:
        """How much of the text lies on the left of the anchor: texts grow away from their points."""
        return 0 if self.right > 0.1 else 1 if self.right < -0.1 else 0.5

    @property
    def part_below(self) -> float:
        """How much of the text lies below the anchor."""
        return 0 if self.up > 0.1 else 1 if self.up < -0.1 else 0.5


def add_labels(axes: Axes, points: Iterable[tuple[float, float, str]]) -> None:
    """Write a text beside each point (x, y, text), as near as possible without covering marks, lines or other texts."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()  # the layout engine moves the axes to their final position
    inside = np.asarray(axes.get_window_extent(renderer).extents)
    occupied = _boxes_of_marks(axes, MARK_RADIUS * figure.dpi / 72)
    for x, y, text in sorted(points, key=lambda point: -point[1]):
        label = axes.annotate(text, (x, y), (0, 0), textcoords="offset points", fontsize="small", arrowprops=LEADER)
        label.set_in_layout(False)
        width, height = Text.get_window_extent(label, renderer).size  # Annotation's own extent includes the leader
        left, bottom = axes.transData.transform((x, y))
        spot, box = _find_free_spot((left, bottom), (width, height), figure.dpi / 72, inside, occupied)
        _move(label, spot)
        occupied = np.vstack([occupied, box])


def _boxes_of_marks(axes: Axes, radius: float) -> Boxes:
    """A square of this half width, in pixels, around each mark and along each line and error bar."""
    paths = [line.get_path().interpolated(1 if line.get_linestyle() == "None" else 30) for line in axes.lines]
    paths += [path.interpolated(10) for bars in axes.collections for path in bars.get_paths()]
    pixels = axes.transData.transform(np.concatenate([path.vertices for path in paths]))
    return np.hstack([pixels - radius, pixels + radius])


def _find_free_spot(
    point: tuple[float, float], size: tuple[float, float], scale: float, inside: Boxes, occupied: Boxes
) -> tuple[Spot, Boxes]:
    """The nearest free spot for a text of this size beside a point, or the last one tried, and the text's box there.

    Lengths are in pixels, of which a point of type has `scale`. Drawing the text at every spot would take seconds.
    """
    spot, box = Spot(0, 0, 0), inside
    for distance, angle in product(DISTANCES, DIRECTIONS):
        spot = Spot(distance, cos(angle), sin(angle))
        left = point[0] + scale * distance * spot.right - size[0] * spot.part_on_the_left
        bottom = point[1] + scale * distance * spot.up - size[1] * spot.part_below
        box = np.array([left, bottom, left + size[0], bottom + size[1]])
        is_within = (box[:2] >= inside[:2]).all() and (box[2:] <= inside[2:]).all()
        overlaps = (box[:2] <= occupied[:, 2:]).all(axis=1) & (box[2:] >= occupied[:, :2]).all(axis=1)
        if is_within and not overlaps.any():
            break
    return spot, box


def _move(label: Annotation, spot: Spot) -> None:
    """Move the label to the spot; the nearest ones need no leader."""
    assert label.arrow_patch
    label.xyann = spot.distance * spot.right, spot.distance * spot.up
    label.set_horizontalalignment(HORIZONTAL[spot.part_on_the_left])
    label.set_verticalalignment(VERTICAL[spot.part_below])
    label.arrow_patch.set_visible(spot.distance > DISTANCES[0])
