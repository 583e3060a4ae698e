"""Each figure shows the values of its rows: the marks, the error bars and the texts."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from helpers import MAIN_PATH
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from records import KERNEL_SIZES, make_record, noisy_rows

from modernet.analysis.paper import paper_rows
from modernet.analysis.table import build_rows
from modernet.attribution.measures import AttributionRow, Contribution
from modernet.figures.attribution import plot_attribution
from modernet.figures.axes import NotEnoughRuns
from modernet.figures.curves import load_curves, plot_curves
from modernet.figures.differences import plot_differences
from modernet.figures.gallery import FIGURES
from modernet.figures.kernel_size import plot_kernel_size
from modernet.figures.pareto import pareto_front, plot_pareto
from modernet.figures.roadmap import plot_roadmap

ALL_VARIANTS = (*MAIN_PATH, *KERNEL_SIZES)


def points(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xydata())


def error_bars(figure: Figure, label: str) -> tuple[np.ndarray, np.ndarray]:
    """(marks, 2) positions, and (marks, 2, 2) both ends of the error bars; NaN where there is none."""
    containers = [one for one in figure.axes[0].containers if isinstance(one, ErrorbarContainer)]
    line, _, collections = next(one for one in containers if one.get_label() == label).lines
    ends = [segment if len(segment) else np.full((2, 2), np.nan) for segment in collections[0].get_segments()]
    return points(line), np.array(ends)


def all_text(figure: Figure) -> str:
    return " ".join(text.get_text().replace("\n", " ") for text in figure.findobj(Text))


@pytest.mark.parametrize("steps", [MAIN_PATH, ["modern_recipe", "kernel_size", "convnext"]], ids=["all", "some"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_roadmap_shows_accuracy_std_and_cost_of_each_step(steps, seeds):
    all_rows = noisy_rows((*steps, *KERNEL_SIZES[1:4]), seeds)
    rows = [row for row in all_rows if row.n and row.is_step]
    figure = plot_roadmap(all_rows)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == list(steps)
    bars, costs = (next(c for c in axes.containers if isinstance(c, BarContainer)) for axes in (left, right))
    assert [bar.get_x() + bar.get_width() for bar in bars] == pytest.approx([row.top1 for row in rows])
    assert {bar.get_x() for bar in bars} == {rows[0].top1}  # lengths are differences to the first step
    assert [cost.get_width() for cost in costs] == [row.gmacs for row in rows]
    marks, ends = error_bars(figure, "ours")
    assert marks[:, 0].tolist() == [row.top1 for row in rows]
    assert (np.diff(ends[:, :, 0]).ravel() / 2).tolist() == pytest.approx([row.top1_std or 0 for row in rows])
    text = all_text(figure)
    assert ("error bars: ± 1 std" in text) == (seeds > 1)
    assert all(f"{row.gmacs:.4f}" in text for row in rows)


def test_roadmap_shows_the_papers_values_shifted_to_ours_at_the_first_step():
    figure = plot_roadmap(noisy_rows(tuple(MAIN_PATH)))
    left = figure.axes[0]
    marks, _ = error_bars(figure, "ours")
    diamonds = next(line for line in left.lines if line.get_label() == "paper")
    assert diamonds.get_markerfacecolor() == "white"
    printed = paper_rows("t")
    start = printed["resnet50"].top1 or 0
    gains = [(printed[name].top1 or np.nan) - start for name in MAIN_PATH]
    assert points(diamonds)[:, 0] - marks[0, 0] == pytest.approx(gains, nan_ok=True)
    paper_axis = left.child_axes[0]
    assert "ImageNet-1K top-1 (%), size t" in paper_axis.get_xlabel()
    figure.draw_without_rendering()
    assert np.subtract(left.get_xlim(), paper_axis.get_xlim()) == pytest.approx([marks[0, 0] - start] * 2)


def test_kernel_size_shows_each_seed_and_the_confidence_interval_of_the_mean():
    rows = noisy_rows(tuple(KERNEL_SIZES))
    figure = plot_kernel_size(rows)
    run = {row.name: row for row in rows if row.n}
    sweep = [run[name] for name in (*KERNEL_SIZES[:2], "kernel_size", *KERNEL_SIZES[2:4])]  # 3, 5, 7, 9, 11
    marks, ends = error_bars(figure, "ours")
    assert [tuple(mark) for mark in marks] == [(k, row.top1) for k, row in zip((3, 5, 7, 9, 11), sweep, strict=True)]
    assert ends[:, :, 1] == pytest.approx(np.array([[row.top1_low, row.top1_high] for row in sweep]))
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [tuple(points(dots)[:, 1]) for dots in hollow if dots.get_marker() == "o"] == [row.top1s for row in sweep]
    (paper,) = (points(line) for line in hollow if line.get_label() == "paper")
    assert paper[0, 1] == marks[0, 1]
    assert np.diff(paper[:, 1]) == pytest.approx(np.diff([79.92, 80.35, 80.57, 80.57, 80.47]))


def test_pareto_front_has_the_variants_that_no_cheaper_or_equal_one_matches():
    values = [(60.0, 2.0), (61.0, 2.0), (60.5, 3.0), (61.0, 4.0), (70.0, 5.0), (50.0, 1.0)]
    run = [row for row in noisy_rows(tuple(MAIN_PATH[:6])) if row.n]
    rows = [replace(row, top1=top1, gmacs=gmacs) for row, (top1, gmacs) in zip(run, values, strict=True)]
    assert [(row.top1, row.gmacs) for row in pareto_front(rows)] == [(50.0, 1.0), (61.0, 2.0), (70.0, 5.0)]


@pytest.mark.parametrize("variants", [ALL_VARIANTS, tuple(MAIN_PATH[:2])], ids=["all", "two"])
def test_pareto_labels_cover_no_mark_and_no_other_label(variants):
    rows = [  # most of them in one cluster
        replace(row, gmacs=0.007 + number % 3 * 1e-5, top1=(row.top1 or 0) / 20) if row.n and number > 3 else row
        for number, row in enumerate(noisy_rows(variants))
    ]
    figure = plot_pareto(rows)
    axes = figure.axes[0]
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    labels = [label for label in axes.texts if isinstance(label, Annotation)]
    assert {label.get_text() for label in labels} == set(variants)
    boxes = [Text.get_window_extent(label, renderer) for label in labels]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    marks = axes.transData.transform([(row.gmacs or 0, row.top1 or 0) for row in rows if row.n])
    assert not any(box.contains(*mark) for box, mark in itertools.product(boxes, marks))
    filled = [line for line in axes.lines if line.get_marker() == "o" and line.get_markerfacecolor() != "white"]
    front = [(row.gmacs, row.top1) for row in pareto_front(rows)]
    assert [tuple(point) for line in filled for point in points(line)] == front


@pytest.mark.parametrize("seeds", [1, 3])
def test_differences_show_ours_and_the_papers_with_confidence_intervals(seeds):
    all_rows = noisy_rows(tuple(MAIN_PATH), seeds)
    rows = [row for row in all_rows if row.difference is not None]
    figure = plot_differences(all_rows)
    for label, field in (("ours", "difference"), ("paper", "paper_difference")):
        marks, ends = error_bars(figure, label)
        values = [getattr(row, field) for row in rows]
        assert marks[:, 0] == pytest.approx(np.array(values, dtype=float), nan_ok=True)
        for row, value, (low_end, high_end) in zip(rows, values, ends[:, :, 0], strict=True):
            if value is not None:
                low, high = getattr(row, f"{field}_low"), getattr(row, f"{field}_high")
                expected = (value, value) if low is None else (low, high)
                assert (low_end, high_end) == pytest.approx(expected)
    assert ("Dots: ours, with the std of the runs pooled over the steps." in all_text(figure)) == (seeds > 1)
    column = [text.get_text() for text in figure.axes[0].texts]
    assert column == ["sign", *(row.sign or "" for row in rows)]


def test_caption_of_differences_names_welchs_test_and_counts_the_seeds_of_all_steps():
    noise = {"modern_recipe": 0.1, "stage_ratio": 0.1, "patchify_stem": 9.0}
    records = [make_record(step, 70 + scale * seed, seed) for step, scale in noise.items() for seed in range(3)]
    assert "Dots: ours, by Welch's test. 3 seeds" in all_text(plot_differences(build_rows(records)))
    single = make_record("stage_ratio", 71.0)
    assert "1 to 3 seeds per variant" in all_text(plot_differences(build_rows([*records[:3], single])))


def test_curves_show_mean_and_range_over_seeds():
    figure = plot_curves({"gelu": [[10.0, 20.0], [20.0, 40.0], [30.0, 30.0]], "convnext": [[5.0, 6.0]]}, "digits")
    axes = figure.axes[0]
    assert [points(line)[:, 1].tolist() for line in axes.lines] == [[20.0, 30.0], [5.0, 6.0]]
    assert [line.get_label() for line in axes.lines] == ["gelu (3)", "convnext (1)"]
    band = axes.collections[0].get_paths()[0].vertices
    assert {tuple(vertex) for vertex in np.asarray(band)} == {(1.0, 10.0), (2.0, 20.0), (1.0, 30.0), (2.0, 40.0)}
    with pytest.raises(NotEnoughRuns, match="at most 6 learning curves, got 7"):
        plot_curves({str(number): [[1.0]] for number in range(7)}, "digits")


def test_load_curves_skips_unreadable_metrics_and_names_their_files(tmp_path):
    good = '{"epoch": 1, "top1": 50.0}\n{"epoch": 2, "top1": 60.0}\n'
    bad = {"torn": '{"epoch": 1, "to', "bare": "{}\n", "empty": "", "words": '{"epoch": 1, "top1": "high"}\n'}
    records = {}
    for seed, (name, text) in enumerate({"good": good, **bad}.items()):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(text)
        records[tmp_path / name / "record.json"] = make_record("gelu", 60.0, seed)
    records[tmp_path / "missing/record.json"] = make_record("gelu", 60.0, 9)
    curves, skipped = load_curves(records, ["gelu", "convnext"])
    assert curves == {"gelu": [[50.0, 60.0]]}
    assert [line.split("/metrics.jsonl")[0] for line in skipped] == [str(tmp_path / name) for name in (*bad, "missing")]


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
    assert [label.get_text() for label in gains.get_yticklabels()] == ["gelu", "layer_norm"]
    marks = [line for line in gains.lines if str(line.get_marker()) in "o^vD"]
    assert [points(mark)[0, 0] for mark in marks] == [1.5, -0.5, 1.5, 1.5, 1.5, 1.5, 1.5]  # what was not run has none
    assert [mark.get_markerfacecolor() == "white" for mark in marks] == [False, True, *[False] * 5]
    intervals = [points(line)[:, 0].tolist() for line in gains.lines if line.get_marker() == "None"]
    assert [interval for interval in intervals if interval != [0, 0]][:2] == [[1.0, 2.0], [-1.0, 0.25]]
    factors = [points(line)[0, 0] for line in costs.lines if str(line.get_marker()) in "o^vD"]
    assert factors == [1.0, 2.0, *[1.0] * 5]


def test_unrun_steps_are_not_drawn():
    figure = plot_roadmap(noisy_rows(("gelu", "fewer_activations")))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["gelu", "fewer_activations"]
