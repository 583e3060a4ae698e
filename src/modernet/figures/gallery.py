"""All figures of a selection of records."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from modernet.analysis.budget import all_epochs, budget_cells
from modernet.analysis.references import references
from modernet.analysis.selection import Selection
from modernet.analysis.table import Row, build_rows, group_of, group_rows
from modernet.figures.axes import NotEnoughRuns
from modernet.figures.budget import plot_budget
from modernet.figures.curves import load_curves, plot_curves
from modernet.figures.differences import plot_differences
from modernet.figures.kernel_size import plot_kernel_size
from modernet.figures.pareto import plot_pareto
from modernet.figures.roadmap import plot_roadmap
from modernet.figures.svg import save_figure
from modernet.record import Record

# Name of a figure -> the function that plots it from the rows of a group.
FIGURES: dict[str, Callable[[Sequence[Row]], Figure]] = {
    "roadmap": plot_roadmap,
    "kernel_size": plot_kernel_size,
    "pareto": plot_pareto,
    "differences": plot_differences,
}


def build_group_figures(
    rows: Sequence[Row],
    records: Mapping[Path, Record],
    variants: Sequence[str] = (),
    with_references: bool = False,
) -> tuple[dict[str, Figure], list[str]]:
    """Name -> figure of one group, and one line for each figure that its records do not allow.

    `variants` are those of the learning curves; by default the first, the last, the best and the worst step. A group
    with changes to recipe or data is a side study and has no figures. References are published results in `pareto`.
    """
    group = rows[0].group
    if group.changes:
        return {}, [f"{group}: figures are drawn for unchanged protocols only"]
    members = {path: record for path, record in records.items() if group_of(record) == group}
    curves, skipped = load_curves(members, variants or _default_variants(rows))
    plots = {name: partial(plot, rows) for name, plot in FIGURES.items()}
    if with_references:
        plots["pareto"] = partial(plot_pareto, rows, references(group.protocol))
    plots["curves"] = partial(plot_curves, curves, str(group))
    cells = budget_cells(records.values(), group)
    if len(all_epochs(cells)) > 1:
        plots["budget"] = partial(plot_budget, cells, str(group))
    figures: dict[str, Figure] = {}
    for name, plot in plots.items():
        try:
            figures[name] = plot()
        except NotEnoughRuns as error:
            skipped.append(f"{group}: no {name}: {error}")
    return figures, skipped


def _default_variants(rows: Sequence[Row]) -> list[str]:
    steps = [row for row in rows if row.is_step and row.n]
    if not steps:
        return []
    by_top1 = sorted(steps, key=lambda row: row.top1 or 0)
    return list(dict.fromkeys(row.variant for row in (steps[0], by_top1[-1], by_top1[0], steps[-1])))


def build_figures(
    selection: Selection, variants: Sequence[str] = (), with_references: bool = False
) -> tuple[dict[str, Figure], list[str]]:
    """PROTOCOL-SIZE-NAME -> figure of all groups, and one line for each figure that was skipped."""
    figures: dict[str, Figure] = {}
    skipped: list[str] = []
    for group, rows in group_rows(build_rows(selection.records.values())).items():
        group_figures, reasons = build_group_figures(rows, selection.records, variants, with_references)
        figures |= {f"{group.protocol}-{group.size}-{name}": figure for name, figure in group_figures.items()}
        skipped += reasons
    return figures, skipped


def save_figures(
    selection: Selection, folder: Path, variants: Sequence[str] = (), with_references: bool = False
) -> tuple[list[Path], list[str]]:
    """Write the figures of `build_figures` as SVG and PNG; the paths, and the lines of skipped figures."""
    figures, skipped = build_figures(selection, variants, with_references)
    paths = []
    for name, figure in figures.items():
        paths += save_figure(figure, folder / re.sub(r"[^\w.-]+", "-", name))
    return paths, skipped
