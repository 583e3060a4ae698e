"""Figures of the page: title and caption are text of the page, and the drawing is readable in its column."""

import itertools
import re

import pytest
from helpers import MAIN_PATH
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from records import KERNEL_SIZES, noisy_rows

from modernet.attribution.formatting import shapley_coverage
from modernet.attribution.measures import MEASURES, AttributionRow, Contribution
from modernet.figures.attribution import plot_attribution
from modernet.figures.differences import plot_differences
from modernet.figures.gallery import FIGURES
from modernet.figures.style import HTML, new_figure
from modernet.report.page_figures import to_page_figure

PHONE = 340  # pixels of a figure on a phone of 390


def width_of(svg: str) -> float:
    match = re.search(r'width="([\d.]+)pt"', svg)
    assert match
    return float(match[1]) / 72


def test_title_and_caption_are_text_outside_the_drawing():
    rows = noisy_rows(tuple(MAIN_PATH))
    drawn = plot_differences(rows, form=HTML)
    height = drawn.get_size_inches()[1]
    figure = to_page_figure("differences", drawn, "salt")
    assert figure.title == "Difference per step"
    assert "95 % confidence interval" in figure.caption
    assert "\n" not in figure.caption
    assert "Error bars: 95 % confidence interval" not in re.sub("<title>.*?</title>", "", figure.svg, flags=re.DOTALL)
    assert "<title>gelu" in figure.svg
    assert drawn.get_size_inches()[1] < height - 0.5


def test_untitled_figures_have_their_name():
    figure = new_figure(HTML, 2.0, "", "", width=3.0)
    figure.subplots()
    result = to_page_figure("curves", figure, "salt")
    assert width_of(result.svg) == 3.0
    assert result.title == "Curves"


def attribution() -> Figure:
    gain = Contribution(-15.5, -40.0, 60.25, gmacs=6.1, params=1.0)
    less = Contribution(1.5, 1.0, 2.0, gmacs=0.17, params=1.0)
    names = ("separate_downsampling", "invert_bottleneck", "gelu")
    rows = [
        AttributionRow(name, dict.fromkeys(MEASURES, gain if number else less)) for number, name in enumerate(names)
    ]
    return plot_attribution(rows, "digits", shapley_coverage(2, 2), form=HTML)


def test_text_is_readable_on_a_phone():
    rows = noisy_rows((*MAIN_PATH, *KERNEL_SIZES, "resnext", "grn"))
    figures = [*(plot(rows, form=HTML) for plot in FIGURES.values()), attribution()]
    for figure in figures:
        svg = to_page_figure("name", figure, "salt").svg
        sizes = [
            float(size) for size in re.findall(r"font(?:-size)?: (?:\d+ )?([\d.]+)px", svg)
        ]  # in points of the figure
        assert sizes
        assert min(sizes) / (72 * width_of(svg)) * PHONE > 8.5


def test_attribution_fills_its_column_and_its_ticks_do_not_overlap():
    figure = attribution()
    caption = " ".join(figure.get_supxlabel().split())
    assert (
        "Shapley values: One pair cannot show the variation among orders, so these intervals are too narrow" in caption
    )
    to_page_figure("attribution", figure, "salt")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    extents = [box for axes in figure.axes if (box := axes.get_tightbbox(renderer))]
    assert min(box.x0 for box in extents) < 0.03 * figure.bbox.width
    assert max(box.x1 for box in extents) > 0.97 * figure.bbox.width
    for axes in figure.axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
        boxes = [tick.label1.get_window_extent(renderer) for tick in ticks]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize(
    ("orders", "seeds", "warning"),
    [(2, 2, "too narrow"), (4, 1, "do not cover the noise"), (4, 3, "2 pairs are few"), (20, 3, "")],
)
def test_small_coverage_of_shapley_intervals_is_explained(orders, seeds, warning):
    assert warning in " ".join(shapley_coverage(orders, seeds))
    assert bool(warning) == bool(shapley_coverage(orders, seeds))
