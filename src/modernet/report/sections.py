"""A study's groups as sections of the report: rows, figures, runs and settings."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from modernet.analysis.formatting import format_accuracy
from modernet.analysis.table import Group, Row, build_rows, group_of, group_rows
from modernet.figures.gallery import build_group_figures
from modernet.figures.svg import to_svg
from modernet.record import Record
from modernet.report.columns import Cell, Column
from modernet.report.run_data import RunData
from modernet.report.studies import Study


@dataclass(frozen=True)
class Settings:
    """The values of data and recipe in the runs of a section, one column per distinct configuration."""

    recipes: list[str]  # name of the recipe of each column
    values: list[tuple[str, list[str]]]  # field, and its value in each column


@dataclass(frozen=True)
class Section:
    """One group of a study."""

    id: str  # unique in the page
    group: Group
    rows: list[Row]
    figures: dict[str, Markup]  # name -> SVG
    skipped: list[str]  # figures that the records do not allow, with the reason
    runs: list[Record]
    run_indices: list[int]  # of the runs in RunData
    settings: Settings


@dataclass(frozen=True)
class Overview:
    """Side studies of one protocol and size in one table: a line per study, a column per variant."""

    title: str
    sections: list[Section]  # one per line
    changes: list[str]  # name of each line
    columns: list[Column]


def build_sections(study: Study, study_id: str, run_data: RunData) -> list[Section]:
    """The groups of a study, unchanged protocols first. Adds their runs to `run_data`."""
    members: dict[Group, dict[Path, Record]] = {}
    for path, record in study.records.items():
        members.setdefault(group_of(record), {})[path] = record
    groups = group_rows(build_rows(study.records.values()))
    ordered = sorted(groups.items(), key=lambda item: bool(item[0].changes))
    return [
        _build_section(study, f"{study_id}-{number}", group, rows, members[group], run_data)
        for number, (group, rows) in enumerate(ordered)
    ]


def _build_section(
    study: Study, section_id: str, group: Group, rows: list[Row], records: dict[Path, Record], run_data: RunData
) -> Section:
    figures, skipped = build_group_figures(rows, records)
    order = {row.variant: number for number, row in enumerate(rows)}
    ordered = sorted(records.items(), key=lambda item: (order[item[1].variant], item[1].seed))
    runs = [record for _, record in ordered]
    return Section(
        id=section_id,
        group=group,
        rows=rows,
        figures={name: Markup(to_svg(figure, f"{section_id}-{name}")) for name, figure in figures.items()},
        skipped=[study.make_relative(line).removeprefix(f"{group}: ") for line in skipped],
        runs=runs,
        run_indices=[run_data.add(study, path, record) for path, record in ordered],
        settings=_build_settings(runs),
    )


def _build_settings(runs: Iterable[Record]) -> Settings:
    distinct: dict[str, tuple[str, dict[str, str]]] = {}  # JSON of the values -> recipe, values
    for run in runs:
        values = {
            f"{section}.{field}": value if isinstance(value, str) else json.dumps(value)
            for section in ("data", "recipe")
            if isinstance(run.config.get(section), dict)
            for field, value in run.config[section].items()
        }
        distinct.setdefault(json.dumps(values), (run.recipe, values))
    configurations = [values for _, values in distinct.values()]
    fields = dict.fromkeys(field for values in configurations for field in values)
    return Settings(
        [recipe for recipe, _ in distinct.values()],
        [(field, [values.get(field, "") for values in configurations]) for field in fields],
    )


def build_overviews(sections: Sequence[Section]) -> list[Overview]:
    """One table per protocol and size that has side studies."""
    side_studies: dict[Group, list[Section]] = {}
    for section in sections:
        if section.group.changes:
            side_studies.setdefault(section.group._replace(changes=""), []).append(section)
    overviews = []
    for group, members in side_studies.items():
        names = dict.fromkeys(row.name for section in members for row in section.rows)
        changes = [section.group.changes for section in members]
        title = f"{group}: top-1 (%) of its side studies"
        overviews.append(Overview(title, members, changes, [_variant_column(name) for name in names]))
    return overviews


def _variant_column(name: str) -> Column:
    def cell(section: Section) -> Cell:
        row = next((row for row in section.rows if row.name == name), None)
        return Cell("") if row is None else Cell(format_accuracy(row), value=row.top1)

    return Column(name, "mean ± std over seeds", cell)
