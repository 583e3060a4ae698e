"""The figure of the roadmap, and what all figures of rows have in common: formats, captions, hollow marks."""

from dataclasses import replace

import numpy as np
import pytest
from drawn import ALL_VARIANTS, all_text, error_bars, fills, points
from helpers import MAIN_PATH
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from records import KERNEL_SIZES, make_record, noisy_rows

from modernet.analysis.paper import paper_rows
from modernet.analysis.row import Row
from modernet.analysis.stats import confidence_interval
from modernet.analysis.table import build_rows
from modernet.config.names import step_name
from modernet.figures.axes import NotEnoughRuns
from modernet.figures.differences import plot_differences
from modernet.figures.gallery import FIGURES
from modernet.figures.pareto import plot_pareto
from modernet.figures.roadmap import plot_roadmap
from modernet.figures.style import COLUMN, GUIDE, OURS, PAGE
from modernet.figures.tooltips import row_tooltip


@pytest.mark.parametrize("steps", [MAIN_PATH, ["modern_recipe", "kernel_size", "convnext"]], ids=["all", "some"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_roadmap_shows_accuracy_with_its_interval_and_cost_of_each_step(steps, seeds):
    all_rows = noisy_rows((*steps, *KERNEL_SIZES[1:4]), seeds)
    rows = [row for row in all_rows if row.n and row.is_step]
    figure = plot_roadmap(all_rows)
    left, _, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == [step_name(step) for step in steps]
    marks, ends = error_bars(left, "ours")
    assert marks[:, 0].tolist() == [row.top1 for row in rows]
    expected = [[row.top1, row.top1] if row.top1_low is None else [row.top1_low, row.top1_high] for row in rows]
    assert ends[:, :, 0] == pytest.approx(np.array(expected))
    (costs,) = [line for line in right.lines if line.get_label() == "cost"]
    assert points(costs)[:, 0] == pytest.approx([1000 * (row.gmacs or 0) for row in rows])
    text = all_text(figure)
    assert ("95 % confidence interval of the mean" in text) == (seeds > 1)
    assert all(f"{1000 * (row.gmacs or 0):.1f}" in text for row in rows)
    assert right.get_xlabel() == "MMACs"


def test_roadmap_joins_each_step_with_the_one_that_it_changes():
    figure = plot_roadmap(noisy_rows(("patchify_stem", "resnext", "convnext", "conv_stem", "grn")))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    heights = dict(zip(figure.axes[0].get_yticks(), names, strict=True))
    lines = [line for line in figure.axes[0].lines if line.get_color() == GUIDE]
    joined = {tuple(heights[y] for y in points(line)[:, 1]) for line in lines}
    pairs = (
        ("patchify_stem", "resnext"), ("convnext", "conv_stem"), ("convnext", "grn")
    )  # fmt: skip
    assert joined == {(step_name(first), step_name(second)) for first, second in pairs}
    assert "A line joins a step with the one that it changes." in all_text(figure)


def test_roadmap_shows_the_papers_values_and_intervals_in_a_panel_with_another_axis():
    figure = plot_roadmap(noisy_rows(tuple(MAIN_PATH)))
    ours, paper, _ = figure.axes
    assert not ours.child_axes
    assert paper.get_xlabel() == "top-1 (%),\nImageNet-1K, size t"
    marks, ends = error_bars(paper, "paper")
    printed = paper_rows("t")
    assert marks[:, 0] == pytest.approx([printed[name].top1 or np.nan for name in MAIN_PATH], nan_ok=True)
    for name, (low, high) in zip(MAIN_PATH, ends[:, :, 0], strict=True):
        sample = printed[name].sample
        if sample is not None:
            assert (low, high) == pytest.approx(confidence_interval(sample) or (sample.mean, sample.mean))


def test_marks_without_an_interval_are_hollow_and_explained():
    seeds = {"modern_recipe": 1, "stage_ratio": 3, "patchify_stem": 1, "depthwise_conv": 3}
    levels = [
        make_record(step, 60 + 2 * n + 0.01 * s, s) for n, (step, m) in enumerate(seeds.items()) for s in range(m)
    ]
    rows = build_rows(levels)
    for plot in (plot_roadmap, plot_pareto):
        assert "A hollow dot has no confidence interval" in all_text(plot(rows))
    assert fills(plot_roadmap(rows).axes[0], "ours") == ["white", OURS["color"], "white", OURS["color"]]
    welch = [replace(row, difference_low=None, difference_high=None) if row.n == 1 else row for row in rows]
    assert fills(plot_differences(welch).axes[0], "ours") == [OURS["color"], "white", OURS["color"]]
    assert "A hollow dot has no confidence interval" in all_text(plot_differences(welch))
    assert "hollow" not in all_text(plot_differences(rows))  # the pooled std gives each difference an interval


@pytest.mark.parametrize("plot", [plot_roadmap, plot_pareto])
def test_intervals_far_beyond_the_means_are_cut_within_0_to_100_and_marked(plot):
    rows = [row for row in noisy_rows(tuple(MAIN_PATH)) if row.n]
    assert "Arrows" not in all_text(plot(rows))
    wide = [*rows[:-1], replace(rows[-1], top1_low=-115.0, top1_high=220.0)]
    figure = plot(wide)
    low, high = figure.axes[0].get_xlim() if plot is plot_roadmap else sorted(figure.axes[0].get_ylim())
    top1 = [row.top1 or 0 for row in rows]
    assert 0 <= low < min(top1) < max(top1) < high <= 100
    assert high - low < 3.5 * (max(top1) - min(top1))
    arrows = [line for line in figure.axes[0].lines if line.get_marker() in (4, 5, 6, 7)]
    ends = [point[0 if plot is plot_roadmap else 1] for line in arrows for point in points(line)]
    assert ends == [low, high]
    assert "Arrows: the interval goes on beyond the axis." in all_text(figure)


@pytest.mark.parametrize("plot", [plot_roadmap, plot_pareto])
def test_noise_that_hides_all_differences_is_no_figure(plot):
    records = [make_record(step, 60 + 9 * seed, seed) for step in MAIN_PATH[:4] for seed in (0, 1)]
    with pytest.raises(NotEnoughRuns, match="wider than the range of the means"):
        plot(build_rows(records))


@pytest.mark.parametrize("plot", FIGURES.values(), ids=FIGURES.keys())
def test_plots_of_rows_raise_not_enough_runs_for_a_single_variant(plot):
    with pytest.raises(NotEnoughRuns):
        plot(noisy_rows(("gelu",)))


def test_unrun_steps_are_not_drawn():
    figure = plot_roadmap(noisy_rows(("gelu", "fewer_activations", "fewer_norms")))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["GELU", "Fewer activations", "Fewer norms"]


@pytest.mark.parametrize("plot", FIGURES.values(), ids=FIGURES.keys())
def test_formats_have_their_widths_and_only_with_titles_a_title_and_a_caption(plot):
    rows = noisy_rows(ALL_VARIANTS)
    page, column = (plot(rows, "CIFAR-10", form=form) for form in (PAGE, COLUMN))
    assert page.get_size_inches()[0] == pytest.approx(180 / 25.4, rel=0.01)
    assert column.get_size_inches()[0] == pytest.approx(85 / 25.4)
    bare = plot(rows, "CIFAR-10", form=replace(COLUMN, has_titles=False))
    assert page.get_suptitle().startswith("CIFAR-10: ")
    assert "95 % confidence interval" in page.get_supxlabel().replace("\n", " ")
    assert (bare.get_suptitle(), bare.get_supxlabel()) == ("", "")
    assert bare.get_size_inches()[1] < column.get_size_inches()[1]
    assert any("95 % CI" in axes.get_xlabel() + axes.get_ylabel() for axes in bare.axes)


@pytest.mark.parametrize("plot", FIGURES.values(), ids=FIGURES.keys())
def test_no_text_leaves_a_column(plot):
    figure = plot(noisy_rows(ALL_VARIANTS), "CIFAR-10, 16 epochs, size micro", form=COLUMN)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    texts = [text for axes in figure.axes for text in (*axes.texts, axes.xaxis.label, axes.yaxis.label)]
    for text in filter(Text.get_text, (*texts, *figure.texts)):
        box = Text.get_window_extent(text, renderer)
        assert box.x0 > -1, text
        assert box.x1 < figure.bbox.width + 1, text


def test_captions_name_the_papers_size_where_the_first_row_is_not_in_the_paper():
    rows = noisy_rows(("patchify_stem", "resnext", "depthwise_conv", "increase_width"))
    for plot, shown in ((plot_differences, rows), (plot_roadmap, rows[rows.index(row_of(rows, "resnext")) :])):
        assert "size t on ImageNet-1K" in " ".join(plot(shown).get_supxlabel().split())


def row_of(rows: list[Row], variant: str) -> Row:
    return next(row for row in rows if row.variant == variant)


def test_tooltip_of_a_single_seed_says_so():
    assert "not available: a single seed" in row_tooltip(row_of(noisy_rows(("gelu",), seeds=1), "gelu"))
