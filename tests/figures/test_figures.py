"""Figures show what the rows hold: as many marks, with their values, and nothing over anything else."""

import itertools
import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers import run_script
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from test_table import made

from modernet.figures.all import all as figures
from modernet.analysis import paper
from modernet import record
from modernet.figures.all import style
from modernet.analysis import table
from modernet.config.roadmap import roadmap

STEPS = list(roadmap("micro"))
SWEEP = ["move_up_depthwise", *(f"move_up_depthwise+kernel_size={kernel}" for kernel in (5, 9, 11)), "kernel_size"]


def study(names: list[str], seeds: int = 3) -> list[table.Row]:
    """Rows with some accuracy, spread and cost."""
    names = list(dict.fromkeys(names))
    draws = np.random.default_rng(0)
    records = []
    for number, name in enumerate(names):
        level, gmacs = 60 - number + draws.normal(), 0.005 + 0.001 * (number * 7 % 5)
        for seed in range(seeds):
            records.append(made(name.split("+")[0], level + draws.normal() / 3, seed, name, gmacs=gmacs))
    return table.rows(records)


def points(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xydata())


def errorbars(figure: Figure, label: str) -> tuple[np.ndarray, np.ndarray]:
    """(marks, 2) where they are, and (marks, 2, 2) from where to where their bars reach; nan for what is not known."""
    bars = [one for one in figure.axes[0].containers if isinstance(one, ErrorbarContainer)]
    line, _, collections = next(one for one in bars if one.get_label() == label).lines
    reach = [segment if len(segment) else np.full((2, 2), np.nan) for segment in collections[0].get_segments()]
    return points(line), np.array(reach)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("names", [STEPS, ["modern_recipe", "kernel_size", "convnext"]])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_roadmap_has_a_bar_a_step_and_the_papers_hollow_marks(names, seeds):
    rows = [row for row in study([*names, *SWEEP[1:4]], seeds) if row.n and row.is_step]
    figure = figures.roadmap(study([*names, *SWEEP[1:4]], seeds))
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == names
    bars, costs = (next(c for c in axes.containers if isinstance(c, BarContainer)) for axes in (left, right))
    assert [bar.get_x() + bar.get_width() for bar in bars] == pytest.approx([row.top1 for row in rows])
    assert {bar.get_x() for bar in bars} == {rows[0].top1}  # lengths are differences
    assert [cost.get_width() for cost in costs] == [row.gmacs for row in rows]
    where, reach = errorbars(figure, "ours")
    assert where[:, 0].tolist() == [row.top1 for row in rows]
    assert (np.diff(reach[:, :, 0]).ravel() / 2).tolist() == pytest.approx([row.top1_std or 0 for row in rows])
    hollow = next(line for line in left.lines if line.get_label() == "the paper's")
    assert hollow.get_markerfacecolor() == "white"
    printed = paper.rows("t")
    gains = [(printed[name].top1 or np.nan) - (printed[names[0]].top1 or 0) for name in names]
    assert points(hollow)[:, 0] - where[0, 0] == pytest.approx(gains, nan_ok=True)
    above = left.child_axes[0]
    assert "ImageNet-1K (%), size t" in above.get_xlabel()
    figure.draw_without_rendering()
    assert np.subtract(left.get_xlim(), above.get_xlim()) == pytest.approx([where[0, 0] - printed[names[0]].top1] * 2)
    assert ("error bars: one std" in " ".join(texts(figure)).replace("\n", " ")) == (seeds > 1)
    assert [row.top1 and f"{row.gmacs:.4f}" in texts(figure) for row in rows] == [True] * len(rows)


def test_the_kernel_sweep_shows_every_seed_with_the_interval_of_the_mean():
    rows = study(SWEEP)
    figure = figures.kernel_size(rows)
    axes = figure.axes[0]
    run = {row.name: row for row in rows if row.n}
    sweep = [run[name] for name in (*SWEEP[:2], "kernel_size", *SWEEP[2:4])]  # 3, 5, 7, 9, 11
    where, reach = errorbars(figure, "ours")
    assert [tuple(mark) for mark in where] == [(k, row.top1) for k, row in zip((3, 5, 7, 9, 11), sweep, strict=True)]
    assert reach[:, :, 1] == pytest.approx(np.array([[row.top1_low, row.top1_high] for row in sweep]))
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert [tuple(points(dots)[:, 1]) for dots in hollow if dots.get_marker() == "o"] == [row.top1s for row in sweep]
    (printed,) = (points(line) for line in hollow if line.get_label() == "the paper's")
    assert printed[0, 1] == where[0, 1]
    assert np.diff(printed[:, 1]) == pytest.approx(np.diff([79.92, 80.35, 80.57, 80.57, 80.47]))


def test_the_front_by_hand():
    rows = [
        replace(row, top1=top1, gmacs=gmacs)
        for row, (top1, gmacs) in zip(
            [row for row in study(STEPS[:6]) if row.n],
            [(60.0, 2.0), (61.0, 2.0), (60.5, 3.0), (61.0, 4.0), (70.0, 5.0), (50.0, 1.0)],
            strict=True,
        )
    ]
    assert [(row.top1, row.gmacs) for row in figures.front(rows)] == [(50.0, 1.0), (61.0, 2.0), (70.0, 5.0)]


@pytest.mark.parametrize("names", [[*STEPS, *SWEEP], STEPS[:2]])
def test_names_at_the_front_cover_nothing(names):
    rows = [  # most of them in one heap
        replace(row, gmacs=0.007 + number % 3 * 1e-5, top1=(row.top1 or 0) / 20) if row.n and number > 3 else row
        for number, row in enumerate(study(names))
    ]
    figure = figures.pareto(rows)
    axes = figure.axes[0]
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    notes = [note for note in axes.texts if isinstance(note, Annotation)]
    assert {note.get_text() for note in notes} == set(names)
    boxes = [Text.get_window_extent(note, renderer) for note in notes]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    marks = axes.transData.transform([(row.gmacs or 0, row.top1 or 0) for row in rows if row.n])
    assert not any(box.contains(*mark) for box, mark in itertools.product(boxes, marks))
    filled = [line for line in axes.lines if line.get_marker() == "o" and line.get_markerfacecolor() != "white"]
    front = figures.front(rows)
    assert [tuple(point) for line in filled for point in points(line)] == [(row.gmacs, row.top1) for row in front]


@pytest.mark.parametrize("seeds", [1, 3])
def test_differences_are_ours_and_the_papers_with_their_intervals(seeds):
    rows = [row for row in study(STEPS, seeds) if row.difference is not None]
    figure = figures.differences(study(STEPS, seeds))
    for label, field in (("ours", "difference"), ("the paper's", "paper_difference")):
        where, reach = errorbars(figure, label)
        values = [getattr(row, field) for row in rows]
        assert where[:, 0] == pytest.approx(np.array(values, dtype=float), nan_ok=True)
        for row, value, ends in zip(rows, values, reach[:, :, 0], strict=True):
            if value is not None:
                low, high = getattr(row, f"{field}_low"), getattr(row, f"{field}_high")
                assert ends == pytest.approx([value, value] if low is None else [low, high])
    beside = [text.get_text() for text in figure.axes[0].texts]
    assert beside == ["sign", *(row.sign or "" for row in rows)]


def test_curves_are_the_mean_and_the_range_over_seeds():
    figure = figures.curves({"gelu": [[10.0, 20.0], [20.0, 40.0], [30.0, 30.0]], "convnext": [[5.0, 6.0]]})
    axes = figure.axes[0]
    assert [points(line)[:, 1].tolist() for line in axes.lines] == [[20.0, 30.0], [5.0, 6.0]]
    assert [line.get_label() for line in axes.lines] == ["gelu (3)", "convnext (1)"]
    band = axes.collections[0].get_paths()[0].vertices
    assert {tuple(vertex) for vertex in np.asarray(band)} == {(1.0, 10.0), (2.0, 20.0), (1.0, 30.0), (2.0, 40.0)}
    with pytest.raises(figures.Missing, match="more than 6 curves"):
        figures.curves({str(number): [[1.0]] for number in range(7)})


def test_metrics_that_cannot_be_read_are_left_out_by_path(tmp_path):
    good = '{"epoch": 1, "top1": 50.0}\n{"epoch": 2, "top1": 60.0}\n'
    bad = {"torn": '{"epoch": 1, "to', "bare": "{}\n", "empty": "", "words": '{"epoch": 1, "top1": "high"}\n'}
    records = {}
    for seed, (name, text) in enumerate({"good": good, **bad}.items()):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(text)
        records[tmp_path / name / "record.json"] = made("gelu", 60.0, seed)
    records[tmp_path / "missing/record.json"] = made("gelu", 60.0, 9)
    learned, left_out = figures.learning(records, ["gelu", "convnext"])
    assert learned == {"gelu": [[50.0, 60.0]]}
    assert [line.split("/metrics.jsonl")[0] for line in left_out] == [
        str(tmp_path / name) for name in (*bad, "missing")
    ]


@pytest.mark.parametrize("draw", figures.OF_ROWS.values())
def test_what_was_not_run_is_no_figure(draw):
    with pytest.raises(figures.Missing):
        draw(study(["gelu"]))


def lightness(color: str) -> float:
    """L* of CIELAB: 0 black, 100 white."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_series_are_told_apart_in_grey():
    lines = [(lightness(look["color"]), look["linestyle"], look["marker"]) for look in style.SERIES]
    assert all(abs(a[0] - b[0]) > 10 for a, b in itertools.pairwise(lines))
    assert len({line[1] for line in lines}) == len({line[2] for line in lines}) == len(lines)
    assert max(line[0] for line in lines) < 75  # on white paper
    assert style.OURS["marker"] != style.PAPERS["marker"]


def test_files_are_the_same_every_time_and_hold_text_as_text(tmp_path):
    for name in ("one", "two"):
        figure = figures.curves({"gelu+act=$x$ & <b>": [[1.0, 2.0], [2.0, 4.0]]}, title="digits")
        style.save(figure, tmp_path / name / "figure.v1")
    for kind in ("svg", "png"):
        one, two = ((tmp_path / name / f"figure.v1.{kind}").read_bytes() for name in ("one", "two"))
        assert one == two
    svg = (tmp_path / "one/figure.v1.svg").read_text()
    assert "gelu+act=$x$ &amp; &lt;b&gt; (2)</text>" in svg


def test_the_script_writes_what_there_is_and_says_what_not(tmp_path):
    records = [
        made(name.split("+")[0], 60.0 + seed, seed, name) for name in ("gelu", "fewer_activations") for seed in (0, 1)
    ]
    records += [made("gelu", 60.0, 0, "gelu+recipe.epochs=3")]
    for number, one in enumerate(records):
        (tmp_path / "runs" / str(number)).mkdir(parents=True)
        record.write(tmp_path / "runs" / str(number), one)
        (tmp_path / "runs" / str(number) / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "top1": one.top1}))
    result = run_script("scripts/figures.py", tmp_path / "runs")
    names = ["roadmap", "pareto", "differences", "curves"]
    expected = [tmp_path / "runs/figures" / f"digits-micro-{name}.{kind}" for name in names for kind in ("svg", "png")]
    assert result.stdout.splitlines() == [str(path) for path in expected]
    assert all(path.stat().st_size for path in expected)
    assert result.stderr.splitlines() == [
        "skipped: digits, size micro: no kernel_size: fewer than two kernel sizes of move_up_depthwise were run",
        "skipped: digits, size micro, recipe.epochs=3: a side study; only protocols as they are have figures",
    ]
    for arguments, message in (
        (["--curves", "gleu"], "there is no record of 'gleu'; allowed: gelu, fewer_activations, gelu+recipe.epochs=3"),
        (["--protocol", "imagenet"], "there is no finished record of protocol imagenet"),
    ):
        result = run_script("scripts/figures.py", tmp_path / "runs", *arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"figures.py: error: {message}")


def test_marks_have_their_tooltips_in_the_svg():
    rows = study([*STEPS, *SWEEP])
    run = [row for row in rows if row.is_step]
    printed = [row for row in run if row.paper_top1 is not None]
    gained = [row for row in run if row.paper_difference is not None]
    counts = {
        "roadmap": 3 * len(run) + len(printed),  # bar, dot and cost; diamond
        "kernel_size": 2 * len(SWEEP),
        "pareto": len(rows),
        "differences": len(run) - 1 + len(gained),
    }
    for name, count in counts.items():
        root = ElementTree.fromstring(style.svg(figures.OF_ROWS[name](rows)))
        marks = root.findall(".//{*}g[@class='mark']")
        assert len(marks) == count, name
        assert all(mark[0].tag.endswith("title") and mark[0].text for mark in marks)
        if name in ("pareto", "kernel_size"):  # a mark is at its row's place
            ours = {text: mark for mark in marks if "paper" not in (text := (mark[0].text or "").split("\n")[0])}
            heights = {row.name: float(ours[row.name][-1].get("y", "nan")) for row in rows if row.name in ours}
            by_top1 = sorted((row for row in rows if row.name in ours), key=lambda row: row.top1 or 0)
            assert sorted(heights, key=heights.__getitem__, reverse=True) == [row.name for row in by_top1]
    learned = {"gelu": [[50.0, 60.0], [52.0, 61.0]]}
    root = ElementTree.fromstring(style.svg(figures.curves(learned)))
    said = [title.text for title in root.findall(".//{*}title")]
    assert said[1] == "gelu, epoch 2\ntop-1 60.50 %\nlowest 60.00, highest 61.00\n2 seeds"
