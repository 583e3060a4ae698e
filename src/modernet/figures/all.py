"""Rows of results -> figures: the roadmap, the kernel sweep, accuracy against cost, learning curves, differences."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modernet import record
from modernet.figures.all import tooltips
from modernet.analysis.formatting import accuracy
from modernet.record import Record
from modernet.config.roadmap import roadmap as networks
from modernet.figures.style import GREY, OURS, PAPERS, SERIES, SKY, label, legend, new, save, styled, tips
from modernet.analysis.table import Found, Row, group_of, groups, rows

ACCURACY = "top-1 (%)"
GMACS = "GMACs: convolutions and linear layers, one image"


class Missing(ValueError):
    """What a figure shows was not run."""


def _column(table: Sequence[Row], field: str) -> np.ndarray:
    """(rows,) with nan for what is not known, which matplotlib leaves out."""
    return np.array([getattr(row, field) for row in table], dtype=float)


def _errors(table: Sequence[Row], field: str) -> np.ndarray:
    """(2, rows): how far the interval reaches below and above; 0 where there is none."""
    middle, low, high = (_column(table, name) for name in (field, f"{field}_low", f"{field}_high"))
    return np.nan_to_num(np.stack([middle - low, high - middle]))


def _seeds(table: Sequence[Row], spread: str = "") -> str:
    """For a caption: how many seeds, and what their spread is drawn as where there is one."""
    fewest, most = min(row.n for row in table), max(row.n for row in table)
    if most == 1:
        return "One seed each, so no spread."
    return f"{fewest}{f' to {most}' if most > fewest else ''} seeds each{spread}."


def _laid_over(table: Sequence[Row]) -> tuple[Row, float]:
    """The first row that the paper has too, where its values are laid over ours, and by how much they are moved."""
    first = next((row for row in table if row.paper_top1 is not None), table[0])
    return first, float(np.subtract(*_column([first], "top1"), *_column([first], "paper_top1")))


def _moved(shift: float) -> tuple[Callable, Callable]:
    """From our accuracies to the paper's, and back."""
    return lambda value: np.subtract(value, shift), lambda value: np.add(value, shift)


def _papers(axis: Axis, size: str | None) -> None:
    axis.set_label_text(f"the paper's: ImageNet-1K (%), size {size}", color=PAPERS["color"])
    axis.set_tick_params(colors=PAPERS["color"])


def _ours(axis: Axis) -> None:
    """What is laid over may lie beyond all images; no accuracy does."""
    axis.set_label_text(ACCURACY)
    axis.set_major_formatter(lambda value, _: f"{value:g}" if value <= 100 else "")


def _upside_down(axes: Axes, table: Sequence[Row]) -> np.ndarray:
    """A line per row, the first on top; gives their heights."""
    axes.set_yticks(range(len(table)), [row.name for row in table])
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return np.arange(len(table))


def _beside(axes: Axes, title: str, texts: Iterable[str]) -> None:
    """A column of text right of the axes."""
    for height, text in enumerate([title, *texts], -1):
        axes.text(1.02, max(height, -0.8), text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)


@styled
def roadmap(table: Sequence[Row]) -> Figure:
    """Accuracy and GMACs per step of a group, of those that were run, after the paper's Figure 2."""
    run = [row for row in table if row.is_step and row.n]
    if len(run) < 2:
        raise Missing("fewer than two steps of the roadmap were run")
    start, shift = _laid_over(run)
    caption = (
        f"Bars and dots: mean top-1 of the evaluated images; bars begin at {start.name}, so their lengths are "
        f"differences to it. {_seeds(run, '; error bars: one std')} Diamonds: the paper's, on the axis above, whose "
        f"points are as large as ours, laid over ours at {start.name}. {GMACS}."
    )
    figure = new(8.4, 2.0 + 0.27 * len(run), f"{start.group}: the roadmap", caption)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    heights, top1 = _upside_down(left, run), _column(run, "top1")
    (origin,) = _column([start], "top1")
    left.use_sticky_edges = False  # room beside the start, where the bars begin
    explained = list(map(tooltips.of_row, run))
    tips(left.barh(heights, top1 - origin, left=origin, height=0.62, color=SKY), explained)
    left.axvline(origin, color="black", linewidth=0.8)
    spread = np.nan_to_num(_column(run, "top1_std"))
    dots = left.errorbar(top1, heights, xerr=spread, **OURS, linestyle="none", capsize=2.5, label="ours")
    tips(dots[0], explained)
    papers = left.plot(_column(run, "paper_top1") + shift, heights, **PAPERS, linestyle="none", label="the paper's")
    tips(papers[0], list(map(tooltips.of_paper, run)))
    _ours(left.xaxis)
    if np.isfinite(shift):
        _papers(left.secondary_xaxis("top", functions=_moved(shift)).xaxis, start.paper_size)
    _beside(left, "mean ± std", map(accuracy, run))
    costs = right.barh(heights, _column(run, "gmacs"), height=0.62, facecolor="white", edgecolor=GREY, hatch="///")
    tips(costs, explained)
    right.bar_label(costs, fmt="%.4f", padding=2, fontsize=8)
    right.set_xlim(0, 1.5 * _column(run, "gmacs").max())
    right.tick_params(axis="y", length=0)
    right.set_xlabel("GMACs")
    legend(figure, left)
    return figure


def _kernels(table: Sequence[Row]) -> dict[int, Row]:
    """The rows of the kernel sweep by kernel size, as far as they were run."""
    steps = networks(table[0].size)
    sizes = {name: steps[name].kernel_size for name in ("move_up_depthwise", "kernel_size")}
    sizes |= {f"move_up_depthwise+kernel_size={kernel}": kernel for kernel in range(1, 100, 2)}
    return dict(sorted((sizes[row.name], row) for row in table if row.n and row.name in sizes))


@styled
def kernel_size(table: Sequence[Row]) -> Figure:
    """Accuracy of a group's move_up_depthwise against its kernel size, with every seed."""
    sweep = _kernels(table)
    if len(sweep) < 2:
        raise Missing("fewer than two kernel sizes of move_up_depthwise were run")
    kernels, run = np.array(list(sweep)), list(sweep.values())
    start, shift = _laid_over(run)
    caption = (
        "move_up_depthwise with other kernels. Filled: the mean; beside it every seed. "
        f"{_seeds(run, '; error bars: 95 % interval of the mean')} Diamonds: the paper's, on the axis at the right, "
        f"whose points are as large as ours, laid over ours at kernel size {kernels[run.index(start)]}. {GMACS}."
    )
    figure = new(6, 4.2, f"{start.group}: kernel size", caption)
    axes = figure.subplots()
    dots = axes.errorbar(kernels, _column(run, "top1"), yerr=_errors(run, "top1"), **OURS, capsize=2.5, label="ours")
    tips(dots[0], list(map(tooltips.of_row, run)))
    for kernel, row in sweep.items():
        axes.plot([kernel - 0.25] * row.n, row.top1s, "o", markersize=4, color="white", markeredgecolor=GREY)
    papers = axes.plot(kernels + 0.25, _column(run, "paper_top1") + shift, **PAPERS, linestyle=":", label="the paper's")
    tips(papers[0], list(map(tooltips.of_paper, run)))
    axes.set_xticks(kernels, [f"{kernel} x {kernel}\n{row.gmacs:.4f}" for kernel, row in sweep.items()])
    axes.set_xlabel("kernel size, and GMACs")
    _ours(axes.yaxis)
    axes.grid(axis="y")
    if np.isfinite(shift):
        _papers(axes.secondary_yaxis("right", functions=_moved(shift)).yaxis, start.paper_size)
    legend(figure, axes)
    return figure


def front(table: Iterable[Row]) -> list[Row]:
    """The variants that no cheaper or equal one matches in accuracy, from cheap to dear."""
    best, result = -np.inf, []
    for row in sorted((row for row in table if row.n), key=lambda row: (row.gmacs, -(row.top1 or 0))):
        if row.top1 is not None and row.top1 > best:
            best = row.top1
            result.append(row)
    return result


@styled
def pareto(table: Sequence[Row]) -> Figure:
    """Accuracy against GMACs of all variants of a group, and the front of those that none beats at their cost."""
    run = [row for row in table if row.n]
    if len(run) < 2:
        raise Missing("fewer than two variants were run")
    ahead = front(run)
    caption = (
        "Filled, on the line: no variant that costs as much or less is as accurate, by the mean top-1 of the evaluated "
        f"images. {_seeds(run, '; error bars: one std, which says how sure that is')} {GMACS}."
    )
    figure = new(7.2, 5.2, f"{run[0].group}: accuracy against cost", caption)
    axes = figure.subplots()
    for some, fill in (([row for row in run if row not in ahead], "white"), (ahead, OURS["color"])):
        look = {**OURS, "markerfacecolor": fill, "elinewidth": 0.8, "linestyle": "none"}
        spread = np.nan_to_num(_column(some, "top1_std"))
        dots = axes.errorbar(_column(some, "gmacs"), _column(some, "top1"), yerr=spread, **look)
        tips(dots[0], list(map(tooltips.of_row, some)))
    corners = np.repeat(_column(ahead, "gmacs"), 2)[1:], np.repeat(_column(ahead, "top1"), 2)[:-1]
    axes.plot(*corners, color=OURS["color"], linewidth=1)
    axes.set_xlabel("GMACs")
    axes.set_ylabel(ACCURACY)
    axes.grid()
    axes.margins(0.12)
    named = [row for row in run if row.is_step or row.paper_top1 is not None or row in ahead]
    spots = zip(_column(named, "gmacs"), _column(named, "top1"), [row.name for row in named], strict=True)
    label(axes, spots)
    return figure


def learning(records: Mapping[Path, Record], variants: Sequence[str]) -> tuple[dict[str, list[list[float]]], list[str]]:
    """Top-1 after each epoch, a list per run of these variants, and a line for each run whose metrics were left out."""
    learned: dict[str, list[list[float]]] = {variant: [] for variant in variants}
    left_out = []
    for path, found in records.items():
        if found.variant in learned:
            try:
                learned[found.variant].append([epoch["top1"] for epoch in record.epochs(path)])
            except (OSError, ValueError) as error:
                left_out.append(f"{path.with_name(record.METRICS)}: {error}")
    return {variant: runs for variant, runs in learned.items() if runs}, left_out


@styled
def curves(learned: Mapping[str, Sequence[Sequence[float]]], title: str = "") -> Figure:
    """Learning curves: of each variant the mean over its runs, from the lowest to the highest as a band."""
    if not learned:
        raise Missing("no run has its metrics beside its record")
    if len(learned) > len(SERIES):
        raise Missing(f"more than {len(SERIES)} curves cannot be told apart; choose some")
    caption = "Line: mean over seeds; band: the lowest to the highest seed. In brackets: seeds."
    figure = new(6.4, 4.2, f"{title}: learning curves", caption)
    axes = figure.subplots()
    for look, (variant, runs) in zip(SERIES, learned.items(), strict=False):
        reached = np.array(list(zip(*runs, strict=False))).T  # (runs, epochs)
        epochs = np.arange(1, reached.shape[1] + 1)
        axes.fill_between(epochs, reached.min(0), reached.max(0), color=look["color"], alpha=0.2, linewidth=0)
        (line,) = axes.plot(epochs, reached.mean(0), **look, markersize=4, label=f"{variant} ({len(runs)})")
        tips(line, tooltips.of_curve(variant, runs))
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("top-1 of the evaluated images (%)")
    axes.grid()
    axes.legend()
    return figure


@styled
def differences(table: Sequence[Row]) -> Figure:
    """Each step's difference to the step before, ours and the paper's, with intervals; of one group."""
    run = [row for row in table if row.is_step and row.difference is not None]
    if not run:
        raise Missing("no step was run together with the step before it")
    caption = (
        "Difference to the step before, in points of top-1, with Welch's 95 % intervals. Dots: ours. "
        f"{_seeds(run)} Diamonds: the paper's, size {run[0].paper_size}, on ImageNet-1K, intervals from the std and n "
        "that it prints. Right: does our sign all_reduce_max with the paper's? Unclear where the interval of either includes "
        "zero, or ours is missing."
    )
    figure = new(7.2, 1.8 + 0.3 * len(run), f"{run[0].group}: what each step brings", caption)
    axes = figure.subplots()
    heights = _upside_down(axes, run)
    axes.axvline(0, color="black", linewidth=0.8)
    explained = {"difference": tooltips.of_difference, "paper_difference": tooltips.of_papers_difference}
    for field, shift, look, name in (
        ("difference", -0.16, OURS, "ours"),
        ("paper_difference", 0.16, PAPERS, "the paper's"),
    ):
        gap, error = _column(run, field), _errors(run, field)
        marks = axes.errorbar(gap, heights + shift, xerr=error, **look, linestyle="none", capsize=2.5, label=name)
        tips(marks[0], [explained[field](row) for row in run])
    axes.set_xlabel("difference to the step before (points)")
    _beside(axes, "sign", [row.sign or "" for row in run])
    legend(figure, axes)
    return figure


OF_ROWS: dict[str, Callable[[Sequence[Row]], Figure]] = {
    "roadmap": roadmap,
    "kernel_size": kernel_size,
    "pareto": pareto,
    "differences": differences,
}


def _chosen(table: Sequence[Row]) -> list[str]:
    """Whose curves to draw where nobody chose: the first and last step that were run, and the best and worst."""
    run = [row for row in table if row.is_step and row.n]
    by_accuracy = sorted(run, key=lambda row: row.top1 or 0)
    return list(dict.fromkeys(row.variant for row in (run[0], by_accuracy[-1], by_accuracy[0], run[-1]))) if run else []


def of_group(
    table: Sequence[Row], records: Mapping[Path, Record], chosen: Sequence[str] = ()
) -> tuple[dict[str, Figure], list[str]]:
    """Every figure that the rows of a group and its records allow, by name, and a line for each that was skipped.

    `chosen` are the variants of the learning curves. A protocol with changes is a side study, and has its table alone.
    """
    group = table[0].group
    if group.changes:
        return {}, [f"{group}: a side study; only protocols as they are have figures"]
    of_group = {path: run for path, run in records.items() if group_of(run) == group}
    learned, skipped = learning(of_group, chosen or _chosen(table))
    wanted = {name: partial(figure, table) for name, figure in OF_ROWS.items()}
    drawn: dict[str, Figure] = {}
    for name, figure in {**wanted, "curves": partial(curves, learned, str(group))}.items():
        try:
            drawn[name] = figure()
        except Missing as reason:
            skipped.append(f"{group}: no {name}: {reason}")
    return drawn, skipped


def draw(found: Found, chosen: Sequence[str] = ()) -> tuple[dict[str, Figure], list[str]]:
    """The figures of every protocol, as `of_group` has them, by protocol, size and name."""
    drawn: dict[str, Figure] = {}
    skipped: list[str] = []
    for group, table in groups(rows(found.records.values())).items():
        figures, reasons = of_group(table, found.records, chosen)
        drawn |= {f"{group.protocol}-{group.size}-{name}": figure for name, figure in figures.items()}
        skipped += reasons
    return drawn, skipped


def write(found: Found, folder: Path, chosen: Sequence[str] = ()) -> tuple[list[Path], list[str]]:
    """Save what `draw` gives: the files, and a line for each figure that was skipped."""
    drawn, skipped = draw(found, chosen)
    paths = [save(figure, folder / re.sub(r"[^\w.-]+", "-", name)) for name, figure in drawn.items()]
    return [path for pair in paths for path in pair], skipped
