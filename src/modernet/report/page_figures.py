"""Figures as parts of a page: an SVG that scales with its column, with its title and caption as text of the page."""

from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from modernet.figures.style import HTML, take_texts
from modernet.figures.svg import to_svg


@dataclass(frozen=True)
class PageFigure:
    """One figure of the page."""

    name: str  # as in the gallery
    title: str
    svg: Markup
    caption: str


def to_page_figure(name: str, figure: Figure, salt: str) -> PageFigure:
    """The figure, of the format HTML, without its texts; changes `figure`.

    `salt` is unique in the page. The part of the title before a colon is left out, because the section names the group.
    """
    title, caption = take_texts(figure, HTML)
    title = title.partition(": ")[2] or title or name
    return PageFigure(name, title[:1].upper() + title[1:], Markup(to_svg(figure, salt)), caption)
