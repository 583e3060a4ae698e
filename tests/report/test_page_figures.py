"""Figures of the page: title and caption are text of the page, and the drawing fits its column."""

import re

import pytest
from helpers import MAIN_PATH
from records import noisy_rows

from modernet.figures.differences import plot_differences
from modernet.figures.style import PAGE, new_figure
from modernet.report.page_figures import EXTRA_PANEL, WIDTH, to_page_figure


def width_of(svg: str) -> float:
    match = re.search(r'width="([\d.]+)pt"', svg)
    assert match
    return float(match[1]) / 72


def test_title_and_caption_are_text_outside_the_drawing():
    rows = noisy_rows(tuple(MAIN_PATH))
    figure = to_page_figure("differences", plot_differences(rows), "salt")
    assert figure.title == "Difference per step"
    assert "95 % confidence interval" in figure.caption
    assert "\n" not in figure.caption
    assert "Error bars: 95 % confidence interval" not in re.sub("<title>.*?</title>", "", figure.svg, flags=re.DOTALL)
    assert "<title>gelu" in figure.svg
    assert width_of(figure.svg) == pytest.approx(WIDTH + EXTRA_PANEL)  # ours beside the paper's


def test_narrow_figures_keep_their_width_and_untitled_ones_have_their_name():
    figure = new_figure(PAGE, 2.0, "", "", width=3.0)
    figure.subplots()
    result = to_page_figure("curves", figure, "salt")
    assert width_of(result.svg) == 3.0
    assert result.title == "Curves"


def test_labels_that_were_moved_apart_keep_their_room():
    figure = new_figure(PAGE, 2.0, "", "", width=7.0)
    figure.subplots().annotate("label", (0, 0), (0.5, 0.5), arrowprops={"arrowstyle": "-"})
    assert width_of(to_page_figure("pareto", figure, "salt").svg) == 7.0
