"""What a drawn figure holds: positions, ends of error bars, colours and texts."""

import itertools

import numpy as np
from helpers import MAIN_PATH
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from records import KERNEL_SIZES

from modernet.figures.style import FigureFormat

ALL_VARIANTS = (*MAIN_PATH, *KERNEL_SIZES)


def points(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xydata())


def error_bars(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    """(marks, 2) positions, and (marks, 2, 2) both ends of the error bars; NaN where there is none."""
    marks, ends = np.array(np.nan), np.array(np.nan)
    for container in axes.containers:  # one of marks with an interval, and one of hollow marks
        if isinstance(container, ErrorbarContainer) and container.get_label() == label:
            line, _, collections = container.lines
            segments = [part if len(part) else np.full((2, 2), np.nan) for part in collections[0].get_segments()]
            marks = np.where(np.isnan(marks), points(line), marks)
            ends = np.where(np.isnan(ends), np.array(segments), ends)
    return marks, ends


def fills(axes: Axes, label: str) -> list[str]:
    """The colours of the inside of the marks, in order of their position."""
    lines = [one.lines[0] for one in axes.containers if one.get_label() == label and isinstance(one, ErrorbarContainer)]
    found = [(y, str(line.get_markerfacecolor())) for line in lines for x, y in points(line) if np.isfinite(x)]
    return [color for _, color in sorted(found)]


def all_text(figure: Figure) -> str:
    return " ".join(text.get_text().replace("\n", " ") for text in figure.findobj(Text))


def ticks_of(axes: Axes, form: FigureFormat) -> list[str]:
    """The labels within the limits of the x axis, which must not overlap."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    shown = [tick for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    boxes = [tick.label1.get_window_extent(renderer) for tick in shown]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2)), form
    return [tick.label1.get_text() for tick in shown]
