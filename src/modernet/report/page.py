"""Studies -> one HTML page that needs nothing else: conclusions, tables, figures, every run, and how it was done."""

import hashlib
import json
import math
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from modernet.attribution.measures import measures as attribution
from modernet.report.page import summary as conclusions
from modernet.figures.all import all as figures
from modernet.analysis import formatting as formats
from modernet import record
from modernet.analysis import stats
from modernet.analysis import table
from modernet.figures.attribution import figure as attribution_figure
from modernet.record import Record
from modernet.report.studies import Study, printable
from modernet.figures.style import svg
from modernet.analysis.table import Group, Row, group_of

HERE = Path(__file__).parent


class Cell(NamedTuple):
    text: str
    note: str = ""  # smaller, below
    value: float | str | None = None  # what a column is sorted by; None comes last


class Column(NamedTuple):
    name: str
    meaning: str
    cell: Callable[[Any], Cell]  # of a Row or a Record


def _gap(row: Row, field: str) -> Cell:
    gap, low, high = (getattr(row, field + end) for end in ("", "_low", "_high"))
    return Cell(formats.change(gap, None, None), formats.bounds(low, high, "+"), gap)


def _p(p: float | None) -> Cell:
    return Cell(formats.p_value(p), value=p)


def _number(value: float | None, style: str) -> Cell:
    return Cell("" if value is None else format(value, style), value=value if math.isfinite(value or 0) else None)


def _text(value: str | None) -> Cell:
    return Cell(value or "", value=value)


def _accuracy(row: Row) -> Cell:
    return Cell(formats.accuracy(row), formats.bounds(row.top1_low, row.top1_high), row.top1)


OF_ROWS = [
    Column("n", "seeds", lambda row: _number(row.n, "d")),
    Column("top-1 (%)", "mean ± std over seeds; below it the 95 % interval of the mean", _accuracy),
    Column("to the step before", "points, with Welch's 95 % interval", lambda row: _gap(row, "difference")),
    Column("p", "of that difference, corrected by Holm", lambda row: _p(row.difference_holm)),
    Column("to the start", "points, with Welch's 95 % interval", lambda row: _gap(row, "start_difference")),
    Column("p", "of that difference, corrected by Holm", lambda row: _p(row.start_difference_holm)),
    Column("paper (%)", "the paper's top-1 on ImageNet-1K", lambda row: _number(row.paper_top1, ".2f")),
    Column("paper, to the step before", "points, with their interval", lambda row: _gap(row, "paper_difference")),
    Column("sign", "does our difference have the paper's sign?", lambda row: _text(row.sign)),
    Column("GMACs", "convolutions and linear layers, one image", lambda row: _number(row.gmacs, ".4f")),
    Column("parameters", "of the network", lambda row: _number(row.params, ",")),
    Column("images/s", "trained, median over runs", lambda row: _number(row.images_per_second, ",.0f")),
]
OF_RUNS = [
    Column("seed", "of everything random", lambda run: _number(run.seed, "d")),
    Column("top-1 (%)", "after the last epoch", lambda run: _number(run.top1, ".2f")),
    Column("top-5 (%)", "after the last epoch", lambda run: _number(run.top5, ".2f")),
    Column("loss", "of the evaluated images", lambda run: _number(run.val_loss, ".3f")),
    Column("epochs", "trained", lambda run: _number(run.epochs, "d")),
    Column("seconds", "of training", lambda run: _number(run.train_seconds, ",.0f")),
    Column("images/s", "trained", lambda run: _number(run.images_per_second, ",.0f")),
    Column("device", "that trained it", lambda run: _text(run.device)),
    Column("commit", "of the code", lambda run: _text(run.commit)),
]
COUNTED = {"Commits of the runs": "commit", "torch": "torch", "Devices": "device"}


def _plain(value: Any) -> Any:
    """Without what JSON does not know: a browser reads no nan."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _curves(path: Path) -> dict[str, list[float | None]]:
    """What was measured after each epoch, as far as it is a number. Raises OSError or ValueError."""

    def number(value: Any) -> float | None:
        return round(value, 4) if isinstance(value, int | float) and math.isfinite(value) else None

    epochs = record.epochs(path)
    return {name: [number(epoch.get(name)) for epoch in epochs] for name in ("epoch", "top1", "train_loss", "val_loss")}


class Runs:
    """Every run of the page, as plain values. What many runs share (network, recipe, data) stands here once."""

    def __init__(self) -> None:
        self.parts: dict[str, int] = {}
        self.runs: list[dict[str, Any]] = []

    def add(self, study: Study, path: Path, run: Record) -> int:
        """The place of the run."""
        try:
            curves: dict[str, Any] | str = _curves(path)
        except (OSError, ValueError) as error:
            curves = study.relative(str(error))
        config = {name: self.parts.setdefault(json.dumps(part), len(self.parts)) for name, part in run.config.items()}
        facts = {field.name: getattr(run, field.name) for field in fields(Record) if field.name != "config"}
        folder = printable(path.parent.relative_to(study.folder))
        self.runs.append({"path": folder, "facts": facts, "config": config, "curves": curves})
        return len(self.runs) - 1

    def plain(self) -> dict[str, Any]:
        return _plain({"parts": [json.loads(part) for part in self.parts], "runs": self.runs})


@dataclass(frozen=True)
class Section:
    """One group of a study, as the page shows it."""

    id: str
    group: Group
    rows: list[Row]
    figures: dict[str, Markup]
    skipped: list[str]  # figures that the records do not allow, and why
    runs: list[Record]
    places: list[int]  # of the runs among the page's
    recipes: list[str]
    settings: list[tuple[str, list[str]]]  # of data and recipe: a field, and its value for each of the recipes


def _settings(runs: Iterable[Record]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    distinct: dict[str, tuple[str, dict[str, str]]] = {}
    for run in runs:
        parts = {name: part for name in ("data", "recipe") if isinstance(part := run.config.get(name), dict)}
        flat = {
            f"{name}.{key}": value if isinstance(value, str) else json.dumps(value)
            for name, part in parts.items()
            for key, value in part.items()
        }
        distinct.setdefault(json.dumps(flat), (run.recipe, flat))
    names = dict.fromkeys(key for _, flat in distinct.values() for key in flat)
    settings = [(key, [flat.get(key, "") for _, flat in distinct.values()]) for key in names]
    return [name for name, _ in distinct.values()], settings


def _sections(study: Study, id: str, runs: Runs) -> list[Section]:
    """A study's groups, the protocols as they are first; adds to the page's runs."""
    members: dict[Group, list[tuple[Path, Record]]] = {}
    for path, run in study.records.items():
        members.setdefault(group_of(run), []).append((path, run))
    result = []
    tables = table.groups(table.rows(study.records.values()))
    for group, rows in sorted(tables.items(), key=lambda item: bool(item[0].changes)):
        drawn, skipped = figures.of_group(rows, dict(members[group]))
        here = f"{id}-{len(result)}"
        inline = {name: Markup(svg(figure, f"{here}-{name}")) for name, figure in drawn.items()}
        order = {row.variant: place for place, row in enumerate(rows)}
        ordered = sorted(members[group], key=lambda item: (order[item[1].variant], item[1].seed))
        found = [run for _, run in ordered]
        places = [runs.add(study, path, run) for path, run in ordered]
        reasons = [study.relative(line).removeprefix(f"{group}: ") for line in skipped]
        result.append(Section(here, group, rows, inline, reasons, found, places, *_settings(found)))
    return result


def _overviews(sections: Sequence[Section]) -> list[tuple[str, list[str], list[Column], list[Section]]]:
    """Side studies of one protocol and size beside each other: title, heads, columns (a variant each), rows."""
    alike: dict[str, list[Section]] = {}
    for section in sections:
        if section.group.changes:
            alike.setdefault(str(section.group._replace(changes="")), []).append(section)
    result = []
    for title, some in alike.items():
        names = dict.fromkeys(row.name for section in some for row in section.rows)
        heads = [section.group.changes for section in some]
        result.append((f"{title}: top-1 (%) of its side studies", heads, list(map(_in_section, names)), some))
    return result


def _in_section(name: str) -> Column:
    def cell(section: Section) -> Cell:
        return next((Cell(formats.accuracy(row), value=row.top1) for row in section.rows if row.name == name), Cell(""))

    return Column(name, "mean ± std over seeds", cell)


def _attributions(studies: Sequence[Study]) -> list[tuple[str, attribution.Written, Markup]]:
    """Path, content and figure of each."""
    result = []
    for study in studies:
        for path, written in study.attributions.items():
            title = attribution.heading(written.protocol, written.size, written.seeds, written.orders)
            name = f"{study.name}/{path}"
            result.append((name, written, Markup(svg(attribution_figure(written.rows, title), name))))
    return result


def page(studies: Sequence[Study], made: str, command: str) -> str:
    """The report as HTML. `made` and `command` say when and how."""
    runs = Runs()
    sections = [
        (study, f"study-{place}", _sections(study, f"study-{place}", runs)) for place, study in enumerate(studies)
    ]
    records = [run for study in studies for run in study.records.values()]
    script = (HERE / "report.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    html = environment.get_template("report.html.jinja").render(
        made=made,
        command=command,
        commit=record.commit(),
        studies=[one for one in sections if one[-1]],
        left_out=[(study.name, study.left_out) for study in studies if study.left_out],
        counts={name: Counter(getattr(run, field) or "unknown" for run in records) for name, field in COUNTED.items()},
        hours=sum(run.train_seconds for run in records) / 3600,
        attributions=_attributions(studies),
        attribution=attribution,
        conclusions=conclusions,
        overviews=_overviews,
        formats=formats,
        stats=stats,
        of_rows=OF_ROWS,
        of_runs=OF_RUNS,
        notes=formats.notes([row for *_, some in sections for section in some for row in section.rows]),
        runs=runs.plain(),
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return html.strip() + "\n"
