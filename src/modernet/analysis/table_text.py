"""The results table as Markdown, CSV, JSON, LaTeX or a DataFrame."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from modernet.analysis.formatting import (
    TextTable,
    count_epochs,
    escape_formula,
    escape_latex,
    escape_markdown,
    finish_latex,
    format_accuracy,
    format_difference,
    format_interval,
    format_p_value,
    to_latex_table,
    to_markdown_table,
)
from modernet.analysis.notes import (
    failed_note,
    mixed_settings_note,
    noise_note,
    notes,
    outdated_note,
    seeds_needed_note,
)
from modernet.analysis.references import reference_cells, reference_notes
from modernet.analysis.row import Group, Row
from modernet.analysis.table import group_rows
from modernet.metrics import Metric, declared_metrics
from modernet.record import Record

if TYPE_CHECKING:
    import pandas as pd

RESULTS = ["variant", "n", "top-1 (%)", "95 % confidence interval", "GMACs", "parameters", "images/s"]
DIFFERENCES = [
    "variant",
    "vs previous step",
    "p (Holm)",
    "vs start",
    "p vs start (Holm)",
    "paper (%)",
    "paper vs previous step",
    "sign",
]


def _result_cells(row: Row, name: str, metrics: list[Metric]) -> list[str]:
    cost = [f"{row.gmacs:.4f}", f"{row.params:,}", f"{row.images_per_second:,.0f}"] if row.n else ["", "", ""]
    measured = [metric.format_value(row.metrics.get(metric.name)) for metric in metrics]
    return [name, str(row.n), format_accuracy(row), format_interval(row.top1_low, row.top1_high), *cost, *measured]


def _difference_cells(row: Row, name: str) -> list[str]:
    return [
        name,
        format_difference(row.gap),
        format_p_value(row.difference_holm),
        format_difference(row.start_gap),
        format_p_value(row.start_difference_holm),
        "" if row.paper_top1 is None else f"{row.paper_top1:.2f}",
        format_difference(row.paper_gap),
        row.sign or "",
    ]


def _tables(rows: list[Row], names: list[str], with_references: bool) -> list[TextTable]:
    """The tables of one group: results, differences where there is something to compare, and published results."""
    metrics, named = declared_metrics(rows), list(zip(rows, names, strict=True))
    headers = [*RESULTS, *(metric.heading for metric in metrics)]
    tables = [TextTable("accuracy and cost", headers, [_result_cells(row, name, metrics) for row, name in named])]
    run = [(row, name) for row, name in named if row.n]
    if any(row.difference is not None or row.start_difference is not None for row, _ in run):
        tables.append(TextTable("differences", DIFFERENCES, [_difference_cells(row, name) for row, name in run]))
    if with_references and (references := reference_cells(rows[0].protocol)):
        tables.append(references)
    return tables


def to_markdown(rows: list[Row], with_references: bool = False, failed: Iterable[Record] = ()) -> str:
    """Per group a heading, its tables and the seeds needed; then the notes, and the runs that failed.

    References are published results.
    """
    text = []
    for group, members in group_rows(rows).items():
        text.append(f"**{escape_markdown(_heading(group, members))}**")
        text += map(to_markdown_table, _tables(members, [row.name for row in members], with_references))
        text += map(escape_markdown, _group_notes(members))
    text.append(escape_markdown(failed_note(failed)))
    return "\n\n".join(filter(None, [*text, *_closing_notes(rows, with_references)]))


def _heading(group: Group, rows: list[Row]) -> str:
    """The group, and the length of its training where no change names it: digits, size micro, 12 epochs."""
    lengths = "" if "recipe.epochs=" in group.changes else count_epochs(rows)
    return ", ".join(filter(None, [str(group), lengths]))


def _group_notes(rows: list[Row]) -> list[str]:
    return [mixed_settings_note(rows), outdated_note(rows), noise_note(rows), seeds_needed_note(rows)]


def _closing_notes(rows: list[Row], with_references: bool) -> list[str]:
    return [*notes(rows), *(reference_notes({row.protocol for row in rows}) if with_references else [])]


def to_latex(rows: list[Row], with_references: bool = False, failed: Iterable[Record] = ()) -> str:
    """Tables with booktabs' rules, for \\input: one or two floats per group, then the notes.

    They have the names that figures have, and only the variants that were run.
    """
    text = ["% \\usepackage{booktabs}"]
    for group, members in group_rows(row for row in rows if row.n).items():
        tables = _tables(members, [row.title for row in members], with_references)
        text += [to_latex_table(table, f"{_heading(group, members)}: {table.title}") for table in tables]
        text += map(escape_latex, _group_notes(members))
    notes_below = [failed_note(failed), *_closing_notes(rows, with_references)]
    return finish_latex([*text, *map(escape_latex, filter(None, notes_below))])


def to_dicts(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The fields of each row, followed by a key for each declared metric that any row has; None where unknown.

    `outdated` is a key only where a row has a value.
    """
    rows = list(rows)
    names = [metric.name for metric in declared_metrics(rows)]
    is_outdated = any(row.outdated for row in rows)
    result = []
    for row in rows:
        values = asdict(row)
        measured = values.pop("metrics")
        if not is_outdated:
            del values["outdated"]
        result.append(values | {name: measured.get(name) for name in names})
    return result


def to_frame(rows: Iterable[Row]) -> "pd.DataFrame":
    """`to_dicts` as a DataFrame; NA where unknown."""
    return _to_frame(to_dicts(rows))


def _to_frame(values: list[dict[str, Any]]) -> "pd.DataFrame":
    import pandas as pd  # takes a third of a second, which the other formats save

    return pd.DataFrame(values).astype({"params": "Int64", "pooled_df": "Int64", "seeds_needed": "Int64"})


def to_csv(rows: list[Row]) -> str:
    """`to_dicts` as CSV, with no text that a spreadsheet executes; empty where unknown."""
    values = [{name: _to_csv_cell(value) for name, value in row.items()} for row in to_dicts(rows)]
    return _to_frame(values).to_csv(index=False, float_format="%.10g")


def _to_csv_cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, tuple) else escape_formula(value)


def to_json(rows: list[Row]) -> str:
    """`to_dicts` as JSON; null where unknown."""
    return json.dumps(to_dicts(rows), indent=1)
