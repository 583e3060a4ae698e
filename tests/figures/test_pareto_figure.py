"""Figures of accuracy against cost and speed: the front, the axis of costs, the numbers and the legend."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from drawn import ALL_VARIANTS, all_text, points, ticks_of
from helpers import MAIN_PATH
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation, Text
from records import noisy_rows

from modernet.analysis.variant_speeds import Speeds
from modernet.config.names import variant_name
from modernet.figures.axes import NotEnoughRuns
from modernet.figures.pareto import pareto_front, plot_pareto, plot_pareto_speed
from modernet.figures.style import COLUMN, OURS, PAGE


def test_pareto_front_has_the_variants_that_no_cheaper_or_equal_one_matches():
    values = [(60.0, 2.0), (61.0, 2.0), (60.5, 3.0), (61.0, 4.0), (70.0, 5.0), (50.0, 1.0)]
    run = [row for row in noisy_rows(tuple(MAIN_PATH[:6])) if row.n]
    rows = [replace(row, top1=top1, gmacs=gmacs) for row, (top1, gmacs) in zip(run, values, strict=True)]
    assert [(row.top1, row.gmacs) for row in pareto_front(rows)] == [(50.0, 1.0), (61.0, 2.0), (70.0, 5.0)]


def front_marks(axes: Axes) -> np.ndarray:
    """(marks, 2) positions on the front, by ascending accuracy."""
    lines = [line for line in axes.lines if line.get_marker() == "o" and line.get_color() == OURS["color"]]
    marks = np.concatenate([points(line) for line in lines])
    marks = marks[np.isfinite(marks).all(axis=1)]
    return marks[np.argsort(marks[:, 1])]


@pytest.mark.parametrize("variants", [ALL_VARIANTS, tuple(MAIN_PATH[:3])], ids=["all", "three"])
def test_pareto_numbers_cover_no_mark_and_no_other_number(variants):
    rows = [  # most of them in one cluster
        replace(row, gmacs=0.007 + number % 3 * 1e-5, top1=(row.top1 or 0) / 20, top1_low=None, top1_high=None)
        if row.n and number > 3
        else row
        for number, row in enumerate(noisy_rows(variants))
    ]
    figure = plot_pareto(rows)
    axes = figure.axes[0]
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    labels = [label for label in axes.texts if isinstance(label, Annotation)]
    assert sorted(int(label.get_text()) for label in labels) == list(range(1, len(set(variants)) + 1))
    legend = [text.get_text() for text in figure.axes[1].texts]
    run = [row for row in rows if row.n]
    assert dict(zip(legend[::2], legend[1::2], strict=True)) == {
        str(number): variant_name(row.name) for number, row in enumerate(run, 1)
    }
    boxes = [Text.get_window_extent(label, renderer) for label in labels]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    drawn = [points(line) for line in axes.lines if line.get_marker() == "o"]
    marks = axes.transData.transform([mark for line in drawn for mark in line if np.isfinite(mark).all()])
    assert len(marks) == len(run)
    assert not any(box.contains(*mark) for box, mark in itertools.product(boxes, marks))
    front = np.array([(1000 * (row.gmacs or 0), row.top1) for row in pareto_front(rows)])
    assert front_marks(axes)[:, 1].tolist() == front[:, 1].tolist()
    assert front_marks(axes)[:, 0] == pytest.approx(front[:, 0], abs=0.5)  # equal costs are moved apart


@pytest.mark.parametrize("form", [PAGE, COLUMN], ids=["page", "column"])
@pytest.mark.parametrize(
    ("largest", "expected"), [(0.6, ["0.02", "0.05", "0.1", "0.2", "0.5"]), (200, ["0.01", "0.1", "1", "10", "100"])]
)
def test_wide_ranges_of_costs_have_a_logarithmic_axis_with_plain_numbers(form, largest, expected):
    rows = [row for row in noisy_rows(tuple(MAIN_PATH[:6])) if row.n]
    rows = [replace(row, gmacs=cost) for row, cost in zip(rows, np.geomspace(0.02, largest, 6), strict=True)]
    axes = plot_pareto(rows, form=form).axes[0]
    assert axes.get_xscale() == "log"
    assert ticks_of(axes, form) == expected


@pytest.mark.parametrize("largest", [9.0, 900.0], ids=["linear", "logarithmic"])
def test_intervals_of_equal_costs_are_drawn_side_by_side(largest):
    rows = [row for row in noisy_rows(tuple(MAIN_PATH[:7])) if row.n]
    rows = [replace(row, gmacs=cost) for row, cost in zip(rows, (7.0, 7.0, 7.0, 7.0, 7.001, 1.0, largest), strict=True)]
    figure = plot_pareto(rows)
    x = sorted(mark[0] for line in figure.axes[0].lines if line.get_marker() == "o" for mark in points(line))
    marks = np.array([value for value in x if np.isfinite(value)])
    pixels = figure.axes[0].transData.transform([(value, 50) for value in marks])[:, 0]
    assert min(np.diff(pixels)) > 2.5  # of 100 per inch
    assert marks[1:6] == pytest.approx(np.full(5, 7.0), rel=0.25)
    assert "Dots of nearly the same cost are drawn side by side." in all_text(figure)


@pytest.mark.parametrize("form", [PAGE, COLUMN], ids=["page", "column"])
def test_long_names_stay_whole_in_the_legend(form):
    ablated = "gelu+act=relu+norm=batch+kernel_size=5+layer_scale={}"
    rows = noisy_rows((*MAIN_PATH[:4], *(ablated.format(value) for value in (0.1, 0.2))))
    rows = [replace(row, top1=(row.top1 or 0) + 30, gmacs=row.gmacs) if "+" in row.variant else row for row in rows]
    rows = [replace(row, paper_top1=80.0, top1_low=None, top1_high=None) for row in rows if row.n]
    names = [" ".join(text.get_text().split()) for text in plot_pareto(rows, form=form).axes[1].texts[1::2]]
    assert names == [variant_name(row.name) for row in rows]


def test_speed_has_the_variants_on_its_front_that_no_faster_one_matches():
    rows = noisy_rows(tuple(MAIN_PATH[:4]))  # accuracy falls along the path
    names = [row.name for row in rows if row.n]
    speeds = Speeds(dict(zip(names, (100.0, 300.0, 200.0, 400.0), strict=True)), "a test")
    figure = plot_pareto_speed(rows, speeds)
    axes = figure.axes[0]
    top1 = {row.name: row.top1 for row in rows}
    best = [(speeds.values[name], top1[name]) for name in (names[3], names[1], names[0])]
    assert [tuple(point) for point in front_marks(axes)] == best
    assert axes.get_xlabel() == "trained images/s"
    with pytest.raises(NotEnoughRuns, match="measured speed"):
        plot_pareto_speed(rows, Speeds({names[0]: 100.0}, "a test"))
