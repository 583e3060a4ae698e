"""Figures as parts of a page: an SVG that scales with its column, with its title and caption as text of the page."""

from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from modernet.figures.svg import to_svg

# Inches. Text of 9 pt has 12 px at this width, and 9 px where a phone of 390 px scales the figure down.
WIDTH, EXTRA_PANEL = 5.0, 0.8
TITLE_HEIGHT, CAPTION_LINE = 0.3, 0.13


@dataclass(frozen=True)
class PageFigure:
    """One figure of the page."""

    name: str  # as in the gallery
    title: str
    svg: Markup
    caption: str


def to_page_figure(name: str, figure: Figure, salt: str) -> PageFigure:
    """The figure, laid out again for a column of the page; changes `figure`.

    `salt` is unique in the page. The part of the title before a colon is left out, because the section names the group.
    """
    title, caption = figure.get_suptitle(), figure.get_supxlabel()
    figure.suptitle("")
    figure.supxlabel("")
    width, height = figure.get_size_inches()
    height -= TITLE_HEIGHT * bool(title) + CAPTION_LINE * len(caption.splitlines())
    if not _has_arranged_labels(figure):
        width = min(width, WIDTH + EXTRA_PANEL * (len(figure.axes) - 1))
    figure.set_size_inches(width, height)
    title = " ".join(title.split()).partition(": ")[2] or title or name
    svg = Markup(to_svg(figure, salt))
    return PageFigure(name, title[:1].upper() + title[1:], svg, " ".join(caption.split()))


def _has_arranged_labels(figure: Figure) -> bool:
    """Whether labels with leaders were moved to free space, of which another width has less."""
    texts = [text for axes in figure.axes for text in axes.texts]
    return any(isinstance(text, Annotation) and text.arrow_patch is not None for text in texts)
