"""Studies that the page folds into one line each: side studies, single seeds, and tuning."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modernet.analysis.formatting import count_noun, count_seeds, format_accuracy
from modernet.analysis.table import Group
from modernet.config.names import study_name
from modernet.report.columns import Cell, Column
from modernet.report.sections import MAIN, SIDE, SINGLE_SEED, TUNING, Section

LABELS = {SIDE: "Side study", SINGLE_SEED: "Single seed", TUNING: "Tuning on held-out images"}


@dataclass(frozen=True)
class Overview:
    """Groups of one protocol and size in one table: a line per group, a column per variant."""

    title: str
    sections: list[Section]  # one per line
    changes: list[str]  # name of each line
    columns: list[Column]


@dataclass(frozen=True)
class Folded:
    """One line of the page that opens: the groups of one kind in one study; of side studies each group by itself."""

    id: str
    title: str
    facts: str  # the size of the study, in a few words
    sections: list[Section]
    overviews: list[Overview]


def fold_sections(sections: Iterable[Section]) -> list[Folded]:
    """The lines of all sections that are not MAIN."""
    bundles: dict[tuple[str, str], list[Section]] = {}
    for section in sections:
        if section.kind != MAIN:
            part = section.id if section.kind == SIDE else section.study.name
            bundles.setdefault((section.kind, part), []).append(section)
    return [_fold(kind, members) for (kind, _), members in bundles.items()]


def _fold(kind: str, sections: list[Section]) -> Folded:
    bases = dict.fromkeys(study_name(section.group.protocol, section.group.size) for section in sections)
    subject = sections[0].title if kind == SIDE else "; ".join(bases)
    runs = [run for section in sections for run in section.runs]
    rows = [row for section in sections for row in section.rows if row.n]
    settings = [count_noun(len(sections), "setting")] if len(sections) > 1 else []
    networks = count_noun(len({row.name for row in rows}), "network")
    facts = [*settings, networks, count_seeds(rows), count_noun(len(runs), "run")]
    study = sections[0].study.title
    return Folded(
        id=f"folded-{sections[0].id}",
        title=f"{LABELS[kind]}: {subject}" if study in subject else f"{LABELS[kind]}: {study} ({subject})",
        facts=", ".join(facts),
        sections=sections,
        overviews=_build_overviews(sections) if len(sections) > 1 else [],
    )


def _build_overviews(sections: Sequence[Section]) -> list[Overview]:
    """One table per protocol and size."""
    groups: dict[Group, list[Section]] = {}
    for section in sections:
        groups.setdefault(section.group._replace(changes=""), []).append(section)
    overviews = []
    for group, members in groups.items():
        names = dict.fromkeys(row.name for section in members for row in section.rows if row.n)
        changes = [section.group.changes or "unchanged" for section in members]
        title = f"{study_name(group.protocol, group.size)}: top-1 (%)"
        overviews.append(Overview(title, members, changes, [_variant_column(name) for name in names]))
    return overviews


def _variant_column(name: str) -> Column:
    def cell(section: Section) -> Cell:
        row = next((row for row in section.rows if row.name == name and row.n), None)
        return Cell("") if row is None else Cell(format_accuracy(row), value=row.top1)

    return Column(name, "mean ± std over seeds", cell)
