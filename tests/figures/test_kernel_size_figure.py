"""The figure of kernel sizes: its seeds, means and intervals, and the paper's sweep beside it."""

from dataclasses import replace

import numpy as np
import pytest
from drawn import error_bars, points, ticks_of
from records import KERNEL_SIZES, noisy_rows

from modernet.figures.axes import NotEnoughRuns
from modernet.figures.kernel_size import plot_kernel_size
from modernet.figures.style import COLUMN, PAGE


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
