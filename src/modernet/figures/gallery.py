"""All figures of a selection of records."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

from matplotlib.figure import Figure

from modernet.analysis.budget import all_epochs, budget_cells
from modernet.analysis.references import references
from modernet.analysis.selection import Selection
from modernet.analysis.speeds import BENCHMARKS
from modernet.analysis.table import Group, Row, build_rows, group_records, group_rows
from modernet.analysis.variant_speeds import UnknownSpeeds, find_speeds
from modernet.config.names import study_name
from modernet.figures.axes import NotEnoughRuns
from modernet.figures.budget import plot_budget
from modernet.figures.curves import load_curves, load_step_curves, plot_curves, recipes_note
from modernet.figures.differences import plot_differences
from modernet.figures.kernel_size import plot_kernel_size
from modernet.figures.pareto import plot_pareto, plot_pareto_speed
from modernet.figures.roadmap import plot_roadmap
from modernet.figures.style import PAGE, FigureFormat
from modernet.figures.svg import remove_figure, save_figure
from modernet.record import Record

# Name of a figure -> the function that plots it from the rows of a group, with a title and a format.
FIGURES: dict[str, Callable[..., Figure]] = {
    "roadmap": plot_roadmap,
    "kernel_size": plot_kernel_size,
    "pareto": plot_pareto,
    "differences": plot_differences,
}
ALL_FIGURES = (*FIGURES, "pareto_speed", "curves", "budget")
FEWEST_VARIANTS = 2  # in a group; the figures themselves need more
NAME_LENGTH = 100  # characters of a group in the name of a file


def build_group_figures(
    rows: Sequence[Row],
    members: Mapping[Path, Record],
    variants: Sequence[str] = (),
    *,
    others: Iterable[Record] = (),
    form: FigureFormat = PAGE,
    benchmarks: Path = BENCHMARKS,
    with_references: bool = False,
) -> tuple[dict[str, Figure], list[str]]:
    """Name -> figure of one group, and one line for each figure that its records do not allow.

    `members` are the runs of the group. `others` are those of a whole study, for the accuracy against the length of
    training. `variants` are those of the learning curves; by default the first, the last, the best and the worst one. A
    group of one variant has one line for all. `benchmarks` is the folder with measured speeds. References are published
    results in `pareto`.
    """
    group = rows[0].group
    run = [row for row in rows if row.n]
    chosen = list(variants) or _default_variants(rows)
    if len(run) < FEWEST_VARIANTS and not variants:
        return {}, [f"{group}: no figures: {run[0].name} is its only variant"]
    title = study_name(*group, epochs=[record.epochs for record in members.values()])
    curves, skipped = load_curves(members, chosen)
    step_curves, without_steps = load_step_curves(members, chosen)
    skipped += without_steps
    plots: dict[str, Callable[[], Figure]] = {
        name: partial(plot, rows, title, form=form) for name, plot in FIGURES.items()
    }
    if with_references:
        plots["pareto"] = partial(plot_pareto, rows, title, form=form, published=references(group.protocol))
    plots["pareto_speed"] = lambda: plot_pareto_speed(
        rows, find_speeds(rows, members.values(), benchmarks), title, form=form
    )
    note = recipes_note(members.values(), curves)
    plots["curves"] = partial(plot_curves, curves, title, step_curves, note, form=form)
    cells = {} if group.changes else budget_cells(others, group)
    if len(all_epochs(cells)) > 1:
        plots["budget"] = partial(plot_budget, cells, study_name(group.protocol, group.size), form=form)
    figures: dict[str, Figure] = {}
    for name, plot in plots.items():
        try:
            figures[name] = plot()
        except (NotEnoughRuns, UnknownSpeeds) as error:
            skipped.append(f"{group}: no {name}: {error}")
    return figures, skipped


def _default_variants(rows: Sequence[Row]) -> list[str]:
    run = [row for row in rows if row.n]
    steps = [row for row in run if row.is_step] or run
    if not steps:
        return []
    by_top1 = sorted(steps, key=lambda row: row.top1 or 0)
    return list(dict.fromkeys(row.variant for row in (steps[0], by_top1[-1], by_top1[0], steps[-1])))


def _file_name(group: Group) -> str:
    name = re.sub(r"[^\w.-]+", "-", "-".join(filter(None, group)))
    if len(name) <= NAME_LENGTH:
        return name
    return f"{name[:NAME_LENGTH]}-{sha256(name.encode()).hexdigest()[:8]}"


def save_figures(
    selection: Selection,
    folder: Path,
    variants: Sequence[str] = (),
    *,
    form: FigureFormat = PAGE,
    benchmarks: Path = BENCHMARKS,
    with_references: bool = False,
) -> tuple[list[Path], list[str]]:
    """Write the figures of all groups as PROTOCOL-SIZE[-CHANGES]-NAME.svg, .png and .pdf.

    Files of an earlier call are removed where the records of their group do not allow the figure. Returns the paths of
    the written files, and one line for each figure that was skipped.
    """
    paths: list[Path] = []
    skipped: list[str] = []
    members = group_records(selection.records)
    for group, rows in group_rows(build_rows(selection.records.values())).items():
        figures, reasons = build_group_figures(
            rows,
            members[group],
            variants,
            others=selection.records.values(),
            form=form,
            benchmarks=benchmarks,
            with_references=with_references,
        )
        for name in ALL_FIGURES:
            path = folder / f"{_file_name(group)}-{name}"
            if name in figures:
                paths += save_figure(figures[name], path)
            else:
                remove_figure(path)
        skipped += reasons
    return paths, skipped
