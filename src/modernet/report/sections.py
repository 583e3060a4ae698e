"""The groups of all studies as sections of the report: rows, figures, runs and settings."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modernet.analysis.table import Group, Row, build_rows, group_records, group_rows
from modernet.config.names import study_name
from modernet.figures.gallery import build_group_figures
from modernet.figures.style import HTML
from modernet.record import Record
from modernet.report.page_figures import PageFigure, to_page_figure
from modernet.report.run_data import RunData
from modernet.report.studies import Study
from modernet.report.summary import TESTED, classify

# What a group of runs is, by which the page orders and folds it.
MAIN, SIDE, SINGLE_SEED, TUNING = "main", "side study", "single seed", "tuning"


@dataclass(frozen=True)
class Settings:
    """The values of data and recipe in the runs of a section, one column per distinct configuration."""

    recipes: list[str]  # name of the recipe of each column
    values: list[tuple[str, list[str]]]  # field, and its value in each column


@dataclass(frozen=True)
class Section:
    """One group of a study."""

    id: str  # unique in the page
    title: str  # CIFAR-10, 6 epochs, size micro
    study: Study
    kind: str
    group: Group
    rows: list[Row]
    figures: dict[str, PageFigure]  # by name
    skipped: list[str]  # figures that the records do not allow, with the reason
    runs: list[Record]
    run_indices: list[int]  # of the runs in RunData
    settings: Settings


@dataclass(frozen=True)
class _Draft:
    id: str
    study: Study
    group: Group
    rows: list[Row]
    records: dict[Path, Record]

    @property
    def kind(self) -> str:
        if self.group.is_tuning:
            return TUNING
        if all(row.n <= 1 for row in self.rows):
            return SINGLE_SEED
        return SIDE if self.group.changes else MAIN

    @property
    def rank(self) -> tuple[bool, int, int, int]:
        """The group of highest rank is the headline of the report: of as many tested steps, that of longer training."""
        tested = sum(row.is_published and classify(row) in TESTED for row in self.rows if row.n)
        epochs = max(record.epochs for record in self.records.values())
        return self.kind == MAIN, tested, epochs, sum(row.n for row in self.rows)


def build_sections(studies: Sequence[Study], run_data: RunData) -> list[Section]:
    """All groups, the headline first, then by kind in the order of the studies. Adds their runs to `run_data`.

    The headline is of kind MAIN, also where all runs are of a single seed.
    """
    drafts = [draft for number, study in enumerate(studies) for draft in _draft_sections(study, f"study-{number}")]
    headline = max(drafts, key=lambda draft: draft.rank)
    kinds = {draft.id: MAIN if draft is headline else draft.kind for draft in drafts}
    order = (MAIN, SIDE, SINGLE_SEED, TUNING)
    drafts.sort(key=lambda draft: (draft is not headline, order.index(kinds[draft.id])))
    return [_build_section(draft, kinds[draft.id], run_data) for draft in drafts]


def _draft_sections(study: Study, study_id: str) -> list[_Draft]:
    members = group_records(study.records)
    groups = group_rows(build_rows(study.records.values()))
    return [
        _Draft(f"{study_id}-{number}", study, group, rows, members[group])
        for number, (group, rows) in enumerate(groups.items())
    ]


def _build_section(draft: _Draft, kind: str, run_data: RunData) -> Section:
    study, group, rows = draft.study, draft.group, draft.rows
    plotted, skipped = {}, []
    if kind in (MAIN, SIDE):
        plotted, skipped = build_group_figures(rows, draft.records, others=study.records.values(), form=HTML)
    order = {row.variant: number for number, row in enumerate(rows)}
    ordered = sorted(draft.records.items(), key=lambda item: (order[item[1].variant], item[1].seed))
    runs = [record for _, record in ordered]
    return Section(
        id=draft.id,
        title=study_name(*group, epochs=[record.epochs for record in runs]),
        study=study,
        kind=kind,
        group=group,
        rows=rows,
        figures={name: to_page_figure(name, figure, f"{draft.id}-{name}") for name, figure in plotted.items()},
        skipped=[study.make_relative(line).removeprefix(f"{group}: ") for line in skipped],
        runs=runs,
        run_indices=[run_data.add(study, path, record) for path, record in ordered],
        settings=_build_settings(runs),
    )


def _build_settings(runs: Iterable[Record]) -> Settings:
    first: dict[str, Record] = {}  # JSON of both sections -> the first run with them
    for run in runs:
        first.setdefault(json.dumps([run.config["data"], run.config["recipe"]]), run)
    distinct: dict[str, tuple[str, dict[str, str]]] = {}  # JSON of the values -> recipe, values
    for run in first.values():
        values = {
            f"{section}.{field}": value if isinstance(value, str) else json.dumps(value)
            for section in ("data", "recipe")
            for field, value in run.config[section].items()
        }
        distinct.setdefault(json.dumps(values), (run.recipe, values))
    configurations = [values for _, values in distinct.values()]
    fields = dict.fromkeys(field for values in configurations for field in values)
    return Settings(
        [recipe for recipe, _ in distinct.values()],
        [(field, [values.get(field, "") for values in configurations]) for field in fields],
    )
