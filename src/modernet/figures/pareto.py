"""Accuracy against cost, with the Pareto front."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure

from modernet.analysis.references import Reference
from modernet.analysis.table import Row
from modernet.figures.axes import GMACS_NOTE, TOP1_LABEL, NotEnoughRuns, seeds_note, std_bars, to_array
from modernet.figures.labels import add_labels
from modernet.figures.style import OURS, PAPER, new_figure, styled
from modernet.figures.svg import add_tooltips
from modernet.figures.tooltips import row_tooltip


def pareto_front(rows: Iterable[Row]) -> list[Row]:
    """The variants that no other one of the same or a lower cost matches in mean top-1, by ascending GMACs."""
    best, front = -np.inf, []
    for row in sorted((row for row in rows if row.n), key=lambda row: (row.gmacs, -(row.top1 or 0))):
        if row.top1 is not None and row.top1 > best:
            best = row.top1
            front.append(row)
    return front


@styled
def plot_pareto(rows: Sequence[Row], published: Sequence[Reference] = ()) -> Figure:
    """Top-1 against GMACs of all variants of a group, and of published networks whose GMACs are known.

    Raises NotEnoughRuns below two variants.
    """
    variants = [row for row in rows if row.n]
    if len(variants) < 2:
        raise NotEnoughRuns("fewer than two variants were run")
    front = pareto_front(variants)
    caption = (
        "Filled dots on the line: the Pareto front; no other variant of the same or a lower cost reaches its mean "
        f"top-1 on the evaluation split. {seeds_note(variants, '± 1 std')} {GMACS_NOTE}"
    )
    diamonds = [(reference.gmacs, reference.top1, reference) for reference in published if reference.gmacs is not None]
    if diamonds:
        caption += " Diamonds: published results, each in its authors' setting."
    figure = new_figure(7.2, 5.2, f"{variants[0].group}: accuracy against cost", caption)
    axes = figure.subplots()
    for members, fill in (([row for row in variants if row not in front], "white"), (front, OURS["color"])):
        look = {**OURS, "markerfacecolor": fill, "elinewidth": 0.8, "linestyle": "none"}
        dots = axes.errorbar(to_array(members, "gmacs"), to_array(members, "top1"), yerr=std_bars(members), **look)
        add_tooltips(dots[0], [row_tooltip(row) for row in members])
    # A staircase: accuracy rises only where the next variant of the front is.
    gmacs, top1 = np.repeat(to_array(front, "gmacs"), 2)[1:], np.repeat(to_array(front, "top1"), 2)[:-1]
    axes.plot(gmacs, top1, color=OURS["color"], linewidth=1)
    for x, y, reference in diamonds:
        (mark,) = axes.plot([x], [y], **PAPER, linestyle="none")
        add_tooltips(mark, [f"{reference.network}: {reference.top1_text} % ({reference.setting}; {reference.source})"])
    axes.set_xlabel("GMACs")
    axes.set_ylabel(TOP1_LABEL)
    axes.grid()
    axes.margins(0.12)
    labelled = [row for row in variants if row.is_step or row.paper_top1 is not None or row in front]
    positions = zip(to_array(labelled, "gmacs"), to_array(labelled, "top1"), strict=True)
    texts = [(x, y, row.name) for (x, y), row in zip(positions, labelled, strict=True)]
    add_labels(axes, [*texts, *((x, y, reference.network) for x, y, reference in diamonds)])
    return figure
