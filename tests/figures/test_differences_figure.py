"""Figures of differences: between neighbouring steps, and of a comparison."""

from dataclasses import replace

import numpy as np
import pytest
from drawn import all_text, error_bars
from helpers import MAIN_PATH
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from records import make_record, noisy_rows

from modernet.analysis.compare import build_comparison, find_arms
from modernet.analysis.table import build_rows
from modernet.config.names import step_name
from modernet.figures.differences import plot_comparison, plot_differences


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
