"""The figure of accuracy against epochs: its marks, intervals and crossings; and when the gallery has it."""

from math import inf

import numpy as np
import pytest
from helpers import run_command
from matplotlib.container import ErrorbarContainer
from records import make_record, write_study

from modernet.analysis.budget import budget_layout
from modernet.analysis.crossing import find_crossing
from modernet.analysis.stats import summarize
from modernet.figures.axes import NotEnoughRuns
from modernet.figures.budget import plot_budget
from modernet.figures.style import VERMILLION
from modernet.figures.svg import to_svg

CELLS = {
    "modern_recipe": {2: [66.0, 66.2, 66.4], 6: [74.0, 74.2, 74.4], 18: [79.0, 79.2, 79.4]},
    "convnext": {2: [53.0, 53.2, 53.4], 6: [70.0, 70.2, 70.4], 18: [81.0, 81.2, 81.4]},
}


def test_budget_shows_means_intervals_and_the_crossing():
    figure = plot_budget(CELLS, "digits")
    (axes,) = figure.axes
    containers = [one for one in axes.containers if isinstance(one, ErrorbarContainer)]
    assert [one.get_label() for one in containers] == ["Modern recipe", "ConvNeXt"]
    for container, of_network in zip(containers, CELLS.values(), strict=True):
        line, _, collections = container.lines
        samples = [summarize(values) for values in of_network.values()]
        assert np.asarray(line.get_xdata()) == pytest.approx(np.array(list(of_network)), rel=0.03)
        assert np.asarray(line.get_ydata()).tolist() == [sample.mean for sample in samples]
        ends = [np.asarray(segment)[:, 1] for segment in collections[0].get_segments()]
        assert ends == [pytest.approx(budget_layout(CELLS).interval(sample)) for sample in samples]
    found = find_crossing(CELLS, "modern_recipe", "convnext")
    (mark,) = [line for line in axes.lines if line.get_marker() == "X"]
    assert found is not None
    assert np.asarray(mark.get_xdata()).tolist() == [found.epochs]
    assert "convnext leads from there on" in to_svg(figure)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "6", "18"]


def test_an_open_interval_of_a_crossing_ends_at_the_axis():
    first = {6: [73.0, 74.0, 75.0], 18: [79.0, 80.0, 81.0]}
    second = {6: [70.0, 71.0, 72.0], 18: [79.2, 80.2, 81.2]}
    axes = plot_budget({"modern_recipe": first, "convnext": second}, "digits").axes[0]
    found = find_crossing({"modern_recipe": first, "convnext": second}, "modern_recipe", "convnext")
    (interval,) = [line for line in axes.lines if line.get_color() == VERMILLION and line.get_marker() == "None"]
    assert found is not None
    assert found.high == inf
    assert np.asarray(interval.get_xdata()) == pytest.approx([found.low, axes.get_xlim()[1]])


def test_budget_without_crossing_says_so():
    lower = {**CELLS, "convnext": {epochs: [40.0] for epochs in (2, 6, 18)}}
    figure = plot_budget(lower, "digits")
    assert not [line for line in figure.axes[0].lines if line.get_marker() == "X"]
    assert "No two lines cross." in figure.get_supxlabel().replace("\n", " ")


@pytest.mark.parametrize("cells", [{}, {"convnext": {2: [60.0]}, "gelu": {6: [61.0]}}])
def test_budget_needs_two_numbers_of_epochs(cells):
    with pytest.raises(NotEnoughRuns, match="no network was run for two numbers of epochs"):
        plot_budget(cells, "digits")


def test_budget_shows_six_networks_at_most():
    cells = {str(number): {2: [60.0], 6: [61.0 + number]} for number in range(8)}
    cells["7"][18] = [70.0]
    containers = plot_budget(cells, "digits").axes[0].containers
    assert [one.get_label() for one in containers] == ["0", "1", "2", "3", "4", "7"]


def test_gallery_has_the_figure_where_two_numbers_of_epochs_exist(tmp_path):
    records = [make_record(step, 60.0 + seed, seed) for step in ("gelu", "convnext") for seed in (0, 1)]
    longer = [make_record("gelu", 70.0 + seed, seed, "gelu+recipe.epochs=6", epochs=6) for seed in (0, 1)]
    without = run_command("figures", write_study(tmp_path / "without", records))
    assert "budget" not in without.stdout + without.stderr
    both = run_command("figures", write_study(tmp_path / "both", [*records, *longer]))
    assert "digits-micro-budget.svg" in both.stdout
