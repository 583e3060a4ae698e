"""Each figure shows the values of its rows: the marks, the error bars and the texts."""

from dataclasses import replace

import numpy as np
import pytest
from drawn import ALL_VARIANTS, all_text, error_bars, fills, points, ticks_of
from helpers import MAIN_PATH
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from records import KERNEL_SIZES, make_record, noisy_rows

from modernet.analysis.compare import build_comparison, find_arms
from modernet.analysis.paper import paper_rows
from modernet.analysis.row import Row
from modernet.analysis.stats import confidence_interval
from modernet.analysis.table import build_rows
from modernet.attribution.measures import AttributionRow, Contribution
from modernet.config.names import step_name
from modernet.figures.attribution import plot_attribution
from modernet.figures.axes import NotEnoughRuns
from modernet.figures.differences import plot_comparison, plot_differences
from modernet.figures.gallery import FIGURES
from modernet.figures.kernel_size import plot_kernel_size
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


def test_kernel_size_shows_each_seed_and_the_confidence_interval_of_the_mean():
    rows = noisy_rows(tuple(KERNEL_SIZES))
    ours, paper = plot_kernel_size(rows).axes
    run = {row.name: row for row in rows if row.n}
    sweep = [run[name] for name in (*KERNEL_SIZES[:2], "kernel_size", *KERNEL_SIZES[2:4])]  # 3, 5, 7, 9, 11
    marks, ends = error_bars(ours, "ours")
    assert [tuple(mark) for mark in marks] == [(number, row.top1) for number, row in enumerate(sweep)]
    assert ends[:, :, 1] == pytest.approx(np.array([[row.top1_low, row.top1_high] for row in sweep]))
    seeds = [line for line in ours.lines if line.get_color() == "white"]
    assert [tuple(points(dots)[:, 1]) for dots in seeds] == [row.top1s for row in sweep]
    assert error_bars(paper, "paper")[0][:, 1].tolist() == [79.92, 80.35, 80.57, 80.57, 80.47]


@pytest.mark.parametrize("form", [PAGE, COLUMN], ids=["page", "column"])
def test_many_kernel_sizes_have_room_and_the_papers_panel_has_the_papers_sizes(form):
    sizes = (1, 5, 9, 11, 13, 15, 21, 25, 31, 41, 51)
    rows = noisy_rows(("move_up_depthwise", "kernel_size", *(f"move_up_depthwise+kernel_size={k}" for k in sizes)))
    rows = [replace(row, top1=60.0 + number, top1_low=None, top1_high=None) for number, row in enumerate(rows) if row.n]
    ours, paper = plot_kernel_size(rows, form=form).axes
    shown = ticks_of(ours, form)
    assert shown[0] == "1"
    assert len(shown) == len(sizes) + 2
    assert [label for label in shown if label] == ["1", "5", "9", "13", "21", "31", "51"]
    assert [text.split("\N{MULTIPLICATION SIGN}")[0] for text in ticks_of(paper, form)] == ["3", "5", "7", "9", "11"]
    assert np.diff(points(ours.lines[0])[:, 0]).tolist() == [1.0] * 12


def test_a_kernel_sweep_of_another_step_is_shown_without_the_paper():
    rows = noisy_rows(("move_up_depthwise", "convnext", *(f"convnext+kernel_size={k}" for k in (3, 5))))
    figure = plot_kernel_size(rows)
    [ours] = figure.axes
    assert [label.get_text().split("\n")[0] for label in ours.get_xticklabels()] == ["3\u00d73", "5\u00d75", "7\u00d77"]
    assert "The step convnext with other kernel sizes" in figure.get_supxlabel().replace("\n", " ")


def test_two_kernel_sizes_are_no_figure():
    with pytest.raises(NotEnoughRuns, match="fewer than three kernel sizes"):
        plot_kernel_size(noisy_rows(("move_up_depthwise", "kernel_size")))


@pytest.mark.parametrize("plot", [plot_roadmap, plot_pareto])
def test_noise_that_hides_all_differences_is_no_figure(plot):
    records = [make_record(step, 60 + 9 * seed, seed) for step in MAIN_PATH[:4] for seed in (0, 1)]
    with pytest.raises(NotEnoughRuns, match="wider than the range of the means"):
        plot(build_rows(records))


@pytest.mark.parametrize("seeds", [1, 3])
def test_differences_show_ours_and_the_papers_with_confidence_intervals(seeds):
    all_rows = noisy_rows(tuple(MAIN_PATH), seeds)
    rows = [row for row in all_rows if row.difference is not None]
    figure = plot_differences(all_rows)
    panels = zip(figure.axes, ("ours", "paper"), ("difference", "paper_difference"), strict=True)
    for axes, label, field in panels:
        marks, ends = error_bars(axes, label)
        values = [getattr(row, field) for row in rows]
        assert marks[:, 0] == pytest.approx(np.array(values, dtype=float), nan_ok=True)
        for row, value, (low_end, high_end) in zip(rows, values, ends[:, :, 0], strict=True):
            if value is not None:
                low, high = getattr(row, f"{field}_low"), getattr(row, f"{field}_high")
                expected = (value, value) if low is None else (low, high)
                assert (low_end, high_end) == pytest.approx(expected)
    assert ("Dots: ours, with the std of the runs pooled over networks." in all_text(figure)) == (seeds > 1)
    column = [text.get_text() for text in figure.axes[1].texts]
    assert column == ["sign", *(row.sign or "" for row in rows)]


def shaded(axes: Axes) -> list[float]:
    """The rows with a band behind them."""
    return [round(patch.get_y() + 0.5) for patch in axes.patches if isinstance(patch, Rectangle)]


def test_differences_shade_what_is_decided_after_holm():
    all_rows = noisy_rows(tuple(MAIN_PATH))
    rows = [row for row in all_rows if row.difference is not None]
    rows = [replace(row, difference_holm=0.049 if number in (1, 5) else 0.051) for number, row in enumerate(rows)]
    figure = plot_differences([*all_rows[:1], *rows])
    assert [shaded(axes) for axes in figure.axes] == [[1, 5], [1, 5]]
    assert "Shaded: p < 0.05 after Holm's correction." in all_text(figure)


def test_side_steps_are_named_with_the_step_that_they_are_compared_with():
    side = ("patchify_stem", "resnext", "convnext", "grn", "large_kernel")
    figure = plot_differences(noisy_rows(side))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    expected = {"resnext": "patchify_stem", "grn": "convnext", "large_kernel": "convnext"}
    assert labels == [f"{step_name(step)} vs {step_name(before)}" for step, before in expected.items()]
    assert figure.axes[0].get_xlabel().startswith("difference to named step (points)")
    assert "previous step" not in all_text(figure)
    mixed = plot_differences(noisy_rows((*side, "stage_ratio")))
    assert "Difference to the previous step or named step" in all_text(mixed)
    labels = [label.get_text() for label in mixed.axes[0].get_yticklabels()]
    assert step_name("patchify_stem") in labels
    assert "vs" not in all_text(plot_differences(noisy_rows(tuple(MAIN_PATH))))


def test_comparison_shows_the_differences_to_the_first_variant(tmp_path):
    levels = {"convnext": 60.0, "gelu": 63.0, "convnext+act=relu": 60.1}
    records = {
        tmp_path / f"{variant}-{seed}": make_record(variant.split("+")[0], level + 0.1 * seed, seed, variant)
        for variant, level in levels.items()
        for seed in range(3)
    }
    arms, _ = find_arms(list(levels), records)
    comparison = build_comparison(arms, records)
    figure = plot_comparison(comparison)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["GELU", "ConvNeXt, ReLU"]
    marks, ends = error_bars(axes, "ours")
    assert marks[:, 0] == pytest.approx([row.difference for row in comparison.rows[1:]])
    assert ends[:, :, 0] == pytest.approx(
        np.array([(row.difference_low, row.difference_high) for row in comparison.rows[1:]])
    )
    assert shaded(axes) == [0]
    assert axes.get_xlabel() == "difference to ConvNeXt (points),\n95 % confidence interval"


def test_caption_of_differences_names_welchs_test_and_counts_the_seeds_of_all_steps():
    noise = {"modern_recipe": 0.1, "stage_ratio": 0.1, "patchify_stem": 9.0}
    records = [make_record(step, 70 + scale * seed, seed) for step, scale in noise.items() for seed in range(3)]
    caption = plot_differences(build_rows(records)).get_supxlabel().replace("\n", " ")
    assert "Dots: ours, by Welch's test. " in caption
    assert " 3 seeds per variant." in caption
    single = [make_record("stage_ratio", 71.0), make_record("patchify_stem", 71.0)]
    assert "1 to 3 seeds per variant" in all_text(plot_differences(build_rows([*records[:3], *single])))


@pytest.mark.parametrize("plot", FIGURES.values(), ids=FIGURES.keys())
def test_plots_of_rows_raise_not_enough_runs_for_a_single_variant(plot):
    with pytest.raises(NotEnoughRuns):
        plot(noisy_rows(("gelu",)))


def test_attribution_shows_contributions_with_intervals_and_hollow_marks_where_the_cost_changes():
    plain = Contribution(1.5, 1.0, 2.0, gmacs=1.0, params=1.0)
    costly = Contribution(-0.5, -1.0, 0.25, gmacs=2.0, params=1.0)
    rows = [
        AttributionRow(
            "gelu", {"path": plain, "leave_one_out": costly, "add_one_in": plain, "shapley": Contribution()}
        ),
        AttributionRow("layer_norm", dict.fromkeys(("path", "leave_one_out", "add_one_in", "shapley"), plain)),
    ]
    gains, costs = plot_attribution(rows, "digits").axes
    assert [label.get_text() for label in gains.get_yticklabels()] == ["GELU", "LayerNorm"]
    marks = [line for line in gains.lines if str(line.get_marker()) in "o^vD"]
    assert [points(mark)[0, 0] for mark in marks] == [1.5, -0.5, 1.5, 1.5, 1.5, 1.5, 1.5]  # what was not run has none
    assert [mark.get_markerfacecolor() == "white" for mark in marks] == [False, True, *[False] * 5]
    intervals = [points(line)[:, 0].tolist() for line in gains.lines if line.get_marker() == "None"]
    assert [interval for interval in intervals if interval != [0, 0]][:2] == [[1.0, 2.0], [-1.0, 0.25]]
    factors = [points(line)[0, 0] for line in costs.lines if str(line.get_marker()) in "o^vD"]
    assert factors == [1.0, 2.0, *[1.0] * 5]


@pytest.mark.parametrize(
    ("contribution", "reason"),
    [
        (Contribution(1.5, gmacs=1.0, params=1.0), "no contribution has a confidence interval"),
        (Contribution(0.0, 0.0, 0.0, gmacs=1.0, params=1.0), "no contribution has a confidence interval"),
        (Contribution(1.5, -150.0, 150.0, gmacs=1.0, params=1.0), "of every contribution includes zero"),
    ],
)
def test_attribution_without_a_result_is_no_figure(contribution, reason):
    rows = [AttributionRow("gelu", dict.fromkeys(("path", "leave_one_out", "add_one_in", "shapley"), contribution))]
    with pytest.raises(NotEnoughRuns, match=reason):
        plot_attribution(rows, "digits")


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
