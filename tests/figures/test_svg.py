"""Figures are accessible without colours, reproducible as files, and have tooltips as SVG."""

import itertools
from xml.etree import ElementTree

import numpy as np
from helpers import MAIN_PATH
from records import KERNEL_SIZES, noisy_rows

from modernet.figures.curves import plot_curves
from modernet.figures.gallery import FIGURES
from modernet.figures.style import OURS, PAPER, SERIES
from modernet.figures.svg import save_figure, to_svg


def lightness(color: str) -> float:
    """L* of CIELAB: 0 is black, 100 is white."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_series_are_distinguishable_in_greyscale():
    lines = [(lightness(look["color"]), look["linestyle"], look["marker"]) for look in SERIES]
    assert all(abs(a[0] - b[0]) > 10 for a, b in itertools.pairwise(lines))
    assert len({line[1] for line in lines}) == len({line[2] for line in lines}) == len(lines)
    assert max(line[0] for line in lines) < 75  # on white paper
    assert OURS["marker"] != PAPER["marker"]


def test_saved_figures_are_byte_identical_and_contain_text_as_text(tmp_path):
    for name in ("one", "two"):
        figure = plot_curves({"gelu+act=$x$ & <b>": [[1.0, 2.0, 3.0], [2.0, 4.0, 5.0]]}, title="digits")
        save_figure(figure, tmp_path / name / "figure.v1")
    for suffix in ("svg", "png", "pdf"):
        one, two = ((tmp_path / name / f"figure.v1.{suffix}").read_bytes() for name in ("one", "two"))
        assert one == two
    svg = (tmp_path / "one/figure.v1.svg").read_text()
    assert "GELU, act $x$ &amp; &lt;b&gt; (2)</text>" in svg


def test_every_mark_has_a_tooltip_at_its_position():
    rows = noisy_rows((*MAIN_PATH, *KERNEL_SIZES))
    steps = [row for row in rows if row.is_step]
    in_paper = [row for row in steps if row.paper_top1 is not None]
    compared_in_paper = [row for row in steps if row.paper_difference is not None]
    counts = {
        "roadmap": 2 * len(steps) + len(in_paper),  # dot and cost; diamond
        "kernel_size": 2 * len(KERNEL_SIZES),
        "pareto": len(rows),
        "differences": len(steps) - 1 + len(compared_in_paper),
    }
    for name, count in counts.items():
        root = ElementTree.fromstring(to_svg(FIGURES[name](rows)))
        marks = root.findall(".//{*}g[@class='mark']")
        assert len(marks) == count, name
        assert all(mark[0].tag.endswith("title") and mark[0].text for mark in marks)
        if name in ("pareto", "kernel_size"):  # heights in the SVG have the order of the accuracies
            first_lines = {(mark[0].text or "").split("\n")[0]: mark for mark in marks}
            ours = {row.name: first_lines[row.name] for row in rows if row.name in first_lines}
            from_below = sorted(ours, key=lambda variant: -float(ours[variant][-1].get("y", "nan")))
            by_top1 = sorted((row for row in rows if row.name in ours), key=lambda row: row.top1 or 0)
            assert from_below == [row.name for row in by_top1]


def test_curve_tooltips_give_mean_and_range_of_an_epoch():
    root = ElementTree.fromstring(to_svg(plot_curves({"gelu": [[50.0, 60.0, 61.0], [52.0, 61.0, 62.0]]}, "digits")))
    titles = [title.text for title in root.findall(".//{*}title")]
    assert titles[1] == "gelu, epoch 2\ntop-1 60.50 %\nlowest 60.00, highest 61.00\n2 seeds"
