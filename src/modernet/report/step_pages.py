"""The page of one step or variant: what it changes, its result and cost, and its runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from modernet.analysis.formatting import (
    format_accuracy,
    format_difference,
    format_interval,
    format_p_value,
    format_seeds_needed,
)
from modernet.analysis.row import Row, split_variant
from modernet.config.names import change_name, step_name
from modernet.config.roadmap import all_steps
from modernet.record import Record
from modernet.report.columns import verdict
from modernet.report.sections import Section


@dataclass(frozen=True)
class StepPage:
    """One row of a section with its runs."""

    id: str
    row: Row
    change: str  # what it changes, in a sentence
    verdict: str
    facts: list[tuple[str, str]]  # name, value
    runs: list[Record]
    run_indices: list[int]


def build_step_pages(section: Section) -> list[StepPage]:
    """A page per row with runs."""
    titles = {step.change.get("step", step.name): step.title for step in all_steps()}
    pages = []
    for number, row in enumerate(section.rows):
        if not row.n:
            continue
        members = [
            (run, index)
            for run, index in zip(section.runs, section.run_indices, strict=True)
            if run.variant == row.variant
        ]
        step, changes, _ = split_variant(row.variant)
        change = f"{step_name(step)} with {', '.join(map(change_name, changes))}" if changes else titles.get(step, "")
        runs, indices = [run for run, _ in members], [index for _, index in members]
        pages.append(StepPage(page_id(section, number), row, change, verdict(row), _facts(row), runs, indices))
    return pages


def page_id(section: Section, number: int) -> str:
    """The anchor of the page of row `number`."""
    return f"{section.id}-step-{number}"


def _facts(row: Row) -> list[tuple[str, str]]:
    """The values of a row that are known."""
    interval = format_interval(row.top1_low, row.top1_high)
    before, start = (row.neighbour_title(variant or "") for variant in (row.before, row.start))
    facts: Sequence[tuple[str, str]] = (
        ("top-1", f"{format_accuracy(row)} % {interval}".strip()),
        (f"difference to {before}", format_difference(row.gap)),
        ("p, and p after Holm", ", ".join(map(format_p_value, (row.difference_p, row.difference_holm))).strip(", ")),
        (f"seeds needed to tell it from {before}", format_seeds_needed(row)),
        (f"difference to {start}", format_difference(row.start_gap) if start != before else ""),
        ("paper, top-1 on ImageNet-1K", "" if row.paper_top1 is None else f"{row.paper_top1:.2f} %"),
        (f"paper, difference to {before}", format_difference(row.paper_gap)),
        ("sign, beside the paper's", row.sign or ""),
        ("GMACs", "" if row.gmacs is None else f"{row.gmacs:.4f}"),
        ("parameters", "" if row.params is None else f"{row.params:,}"),
        ("images/s in training", "" if row.images_per_second is None else f"{row.images_per_second:,.0f}"),
    )
    return [(name, value) for name, value in facts if value]
