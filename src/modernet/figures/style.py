"""The look that all figures have in common: legible without colours, identical bytes for identical data."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# The palette of Okabe and Ito (2008), which is safe for colour-blind readers.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, MUTED = "#595959", "#8C8C8C"
SHADE, STRIPE, GUIDE = "#DCE9F3", "#F4F4F4", "#C4C4C4"  # behind a decided row, behind every second row, thin lines

# Our marks are dots and the paper's are hollow diamonds, so a black-and-white print distinguishes them.
OURS = {"color": BLUE, "marker": "o"}
PAPER = {"color": VERMILLION, "marker": "D", "markerfacecolor": "white", "markeredgewidth": 1.1}
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
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.linewidth": 0.7,
    "axes.titlelocation": "left",
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.fonttype": "none",  # text stays text instead of outlines
    "svg.hashsalt": "modernet",  # deterministic ids; matplotlib draws them at random otherwise
    "pdf.fonttype": 42,  # fonts as TrueType, which journals ask for
    "text.parse_math": False,  # a $ in a record is no formula
}


@dataclass(frozen=True)
class FigureFormat:
    """Width and type size of a figure, and whether it has a title and a caption."""

    width: float  # inches
    font_size: float  # points, of labels; ticks and captions are smaller
    is_column: bool  # one column of a paper instead of a page
    has_titles: bool = True

    @property
    def style(self) -> dict[Any, Any]:
        """matplotlib's settings."""
        size, small = self.font_size, self.font_size - 0.5
        texts = {"font.size": size, "axes.labelsize": size, "axes.titlesize": size}
        marks = {"lines.markersize": 0.48 * size, "axes.xmargin": 0.07}
        return STYLE | texts | marks | dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), small)


PAGE = FigureFormat(7.1, 8.5, is_column=False)
COLUMN = FigureFormat(85 / 25.4, 7, is_column=True)
# Scales with its column of the report: 7.5 pt are 10.6 px in the 340 px of a phone, 14.3 px in the 460 px of a laptop
# and 7.5 pt in two columns on A4. Notes beside marks have 5/6 of that.
HTML = FigureFormat(85 / 25.4, 7.5, is_column=True)

Arguments = ParamSpec("Arguments")


def styled(plot: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """A decorator for functions that plot: the style of their keyword argument `form`."""

    @wraps(plot)
    def plot_with_style(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        form = kwargs.get("form", PAGE)
        assert isinstance(form, FigureFormat)
        with rc_context(form.style):
            figure = plot(*args, **kwargs)
        for axes in figure.axes:  # ticks that appear later have the same size
            axes.tick_params(labelsize=form.font_size - 0.5)
        return figure

    return plot_with_style


def new_figure(form: FigureFormat, height: float, title: str, caption: str, width: float | None = None) -> Figure:
    """An empty figure, `height` inches and the height of its texts, with its title at the top and its caption below."""
    width = width or form.width
    title_size, caption_size = form.font_size + 1, form.font_size - 1
    # A letter of DejaVu Sans is 0.56 of its type size wide on average, and 0.6 in bold.
    titles = textwrap.wrap(title, int(width * 72 / (0.6 * title_size))) if form.has_titles else []
    lines = textwrap.wrap(caption, int(width * 72 / (0.56 * caption_size))) if form.has_titles else []
    height += _height_of_texts(form, titles, lines)
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04))
    if titles:
        figure.suptitle("\n".join(titles), x=0.01, ha="left", fontsize=title_size, fontweight="bold")
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=caption_size, color=GREY)
    return figure


def take_texts(figure: Figure, form: FigureFormat) -> tuple[str, str]:
    """Remove title and caption with their room from a figure of `new_figure`; returns both, each as one line."""
    title, caption = figure.get_suptitle(), figure.get_supxlabel()
    figure.suptitle("")
    figure.supxlabel("")
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height - _height_of_texts(form, title.splitlines(), caption.splitlines()))
    return " ".join(title.split()), " ".join(caption.split())


def _height_of_texts(form: FigureFormat, titles: Sequence[str], lines: Sequence[str]) -> float:
    """Inches of the lines of a title and a caption."""
    return (1.3 * (form.font_size + 1) * len(titles) + 1.3 * (form.font_size - 1) * len(lines)) / 72
