"""Rows of the results table as markdown, CSV, JSON, LaTeX or a DataFrame, with notes on the columns."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from tabulate import LATEX_ESCAPE_RULES, tabulate

from modernet.analysis.layout import ALPHA_STD, WELCH
from modernet.analysis.table import Row, group_rows
from modernet.record import Metric, declared_metrics

if TYPE_CHECKING:
    import pandas as pd

RESULTS = ["variant", "n", "top-1 (%)", "95 % confidence interval", "GMACs", "parameters", "images/s"]
DIFFERENCES = [
    "variant",
    "vs previous step",
    "p (Holm)",
    "vs start",
    "p (Holm)",
    "paper (%)",
    "paper vs previous step",
    "sign",
]
SHOWN_SEEDS = 1_000  # larger numbers of seeds are shown as > 1,000


class Cells(NamedTuple):
    """One table as text."""

    title: str
    headers: list[str]
    body: list[list[str]]


def format_interval(low: float | None, high: float | None, sign: str = "") -> str:
    """`[low, high]`; empty without an interval. `sign` is "+" for differences."""
    return f"[{low:{sign}.2f}, {high:{sign}.2f}]" if low is not None else ""


def format_accuracy(row: Row) -> str:
    """Mean ± std in percent; the accuracy alone for a single run."""
    if row.top1 is None:
        return "not run"
    return f"{row.top1:.2f}" + (f" ± {row.top1_std:.2f}" if row.n > 1 else "")


def format_difference(gap: float | None, low: float | None, high: float | None) -> str:
    """A difference in percentage points, with its confidence interval where there is one."""
    return "" if gap is None else f"{gap:+.2f} {format_interval(low, high, '+')}".strip()


def format_p_value(p: float | None) -> str:
    """Three decimals; empty without a test."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def format_p_equation(p: float) -> str:
    """`p = 0.021` or `p < 0.001`."""
    text = format_p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def format_std_tests(brown_forsythe_p: float | None, bartlett_p: float | None) -> str:
    """The p-values of the tests of equal standard deviations."""
    tests = {"Brown-Forsythe": brown_forsythe_p, "Bartlett": bartlett_p}
    texts = [f"{name} {format_p_equation(p)}" for name, p in tests.items() if p is not None]
    return f"tests of equal std: {', '.join(texts)}" if texts else "too few seeds to test equal std"


def _result_cells(row: Row, metrics: list[Metric]) -> list[str]:
    cost = [f"{row.gmacs:.4f}", f"{row.params:,}", f"{row.images_per_second:,.0f}"] if row.n else ["", "", ""]
    measured = [metric.format_value(row.metrics.get(metric.name)) for metric in metrics]
    return [row.name, str(row.n), format_accuracy(row), format_interval(row.top1_low, row.top1_high), *cost, *measured]


def _difference_cells(row: Row) -> list[str]:
    return [
        row.name,
        format_difference(row.difference, row.difference_low, row.difference_high),
        format_p_value(row.difference_holm),
        format_difference(row.start_difference, row.start_difference_low, row.start_difference_high),
        format_p_value(row.start_difference_holm),
        "" if row.paper_top1 is None else f"{row.paper_top1:.2f}",
        format_difference(row.paper_difference, row.paper_difference_low, row.paper_difference_high),
        row.sign or "",
    ]


def _tables(rows: list[Row]) -> list[Cells]:
    """The tables of one group: results, and differences where there is something to compare."""
    metrics = declared_metrics(rows)
    headers = [*RESULTS, *(metric.heading for metric in metrics)]
    tables = [Cells("accuracy and cost", headers, [_result_cells(row, metrics) for row in rows])]
    run = [row for row in rows if row.n]
    if any(row.difference is not None or row.start_difference is not None for row in run):
        tables.append(Cells("differences", DIFFERENCES, [_difference_cells(row) for row in run]))
    return tables


def noise_note(rows: list[Row]) -> str:
    """The noise in the runs of a group, the tests of equal noise and the effect of the seed; empty where unknown."""
    run = [row for row in rows if row.n]
    steps, others = ([row for row in run if row.is_published is published] for published in (True, False))
    layouts = {
        title: _describe_layout(members[0], layout)
        for title, members, layout in (("Steps", steps, steps), ("Variants and side steps", others, run))
        if members and members[0].difference_test
    }
    if len(layouts) > 1 and len(set(layouts.values())) == 1:
        layouts = {"Steps, variants and side steps": layouts["Steps"]}
    sentences = [f"{title}: {text}." for title, text in layouts.items()]
    if sentences and run[0].seed_correlation is not None and run[0].seed_p is not None:
        p = format_p_equation(run[0].seed_p)
        sentences.append(f"Correlation of runs with the same seed: {run[0].seed_correlation:.2f} ({p}).")
    return " ".join(sentences)


def _describe_layout(row: Row, layout: list[Row]) -> str:
    """The noise of the rows of a layout; `row` is one of those that are tested by it."""
    stds = [member.top1_std for member in layout if member.top1_std is not None]
    tests = format_std_tests(row.brown_forsythe_p, row.bartlett_p)
    limits = " to ".join(sorted({f"{min(stds):.2f}", f"{max(stds):.2f}"}, key=float))
    source = f"{count_noun(len(stds), 'row')} with std {limits}"
    if row.difference_test == WELCH:
        return f"{source}; {tests}, so Welch's test is used"
    return f"pooled std {row.pooled_std:.2f} with {row.pooled_df} degrees of freedom, from {source}; {tests}"


def count_noun(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def seeds_needed_note(rows: list[Row]) -> str:
    """The seeds that separate each variant of a group from its previous step; empty where the noise is unknown."""
    needed = [
        f"{row.name} {row.seeds_needed if row.seeds_needed <= SHOWN_SEEDS else f'> {SHOWN_SEEDS:,}'}"
        for row in rows
        if row.seeds_needed is not None
    ]
    if not needed:
        return ""
    return (
        "Seeds per network needed to detect the difference to the previous step (the same number for every row, power "
        f"0.8, two-sided alpha 0.05, if difference and std are as observed here): {', '.join(needed)}."
    )


def notes(rows: list[Row]) -> list[str]:
    """The meaning of the columns of these rows, a paragraph each."""
    borrowed = sorted({(row.size, row.paper_size) for row in rows if row.paper_size not in (None, row.size)})
    stand_in = "".join(f"; size {size} is not in the paper: values of size {paper}" for size, paper in borrowed)
    measured = "".join(f" {metric.title}: {metric.description}." for metric in declared_metrics(rows))
    return [
        "top-1: percent of the evaluated images after the last epoch, mean ± std over n seeds, with the 95 % "
        "confidence interval of the mean (Student's t). GMACs: convolutions and linear layers, one image. images/s: "
        f"training speed, median over runs; comparable only on the same device.{measured}",
        "Differences are in percentage points, with 95 % confidence intervals: to the previous step (of a variant: to "
        "its step) and to the start of the roadmap. They are planned contrasts of a one-way layout: the std of the "
        "runs is pooled over the published steps, and for variants and side steps over all rows of the table. A row "
        "with a single seed has no std; its differences assume the pooled one. Where a test of equal std has p < "
        f"{ALPHA_STD}, the differences use Welch's test; the line below the table gives the pooled std and the tests. "
        "p (Holm): two-sided p-value, corrected by Holm's method in four families: the published steps' differences "
        "to the previous step, the same to the start, and both again for variants and other steps. There is no "
        "confidence interval where the std is unknown or zero. Runs with the same seed are not paired.",
        f"paper: top-1 on ImageNet-1K (Liu et al. 2022, Tables 10 and 11{stand_in}); confidence intervals follow from "
        "the std and n printed there (Welch's test). sign: whether our difference to the previous step has the paper's "
        "sign; unclear where either confidence interval (each uncorrected) includes zero, or ours is missing.",
    ]


def tabulate_cells(table: Cells, style: str) -> str:
    """One table in a style of tabulate; the first column is on the left."""
    columns = ("left", *["right"] * (len(table.headers) - 1))
    return tabulate(table.body, table.headers, style, disable_numparse=True, colalign=columns)


def escape_markdown(text: str) -> str:
    """Text of a record must neither end a cell nor begin HTML."""
    return re.sub(r"(\||<(?=[a-zA-Z/!]))", r"\\\1", text)


def to_markdown_table(table: Cells) -> str:
    """One table without its title."""
    body = [[escape_markdown(cell) for cell in cells] for cells in table.body]
    return tabulate_cells(table._replace(body=body, headers=list(map(escape_markdown, table.headers))), "github")


def to_markdown(rows: list[Row]) -> str:
    """Per group a heading, its tables and the seeds needed; then the notes."""
    text = []
    for group, members in group_rows(rows).items():
        text.append(f"**{escape_markdown(str(group))}**")
        text += map(to_markdown_table, _tables(members))
        text += map(escape_markdown, [noise_note(members), seeds_needed_note(members)])
    return "\n\n".join(filter(None, [*text, *notes(rows)]))


def escape_latex(text: str) -> str:
    """Text of a record as LaTeX."""
    return "".join(LATEX_ESCAPE_RULES.get(letter, letter) for letter in text)


def to_latex_table(table: Cells, caption: str) -> str:
    """One table as a float with booktabs' rules."""
    tabular = tabulate_cells(table, "latex_booktabs")  # escapes its cells
    return "\n".join(
        [r"\begin{table}", r"\centering", f"\\caption{{{escape_latex(caption)}}}", tabular, r"\end{table}"]
    )


def finish_latex(paragraphs: Iterable[str]) -> str:
    """The paragraphs as one text, with minus signs instead of hyphens."""
    plain = "\n\n".join(filter(None, paragraphs))
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", plain.replace("±", r"$\pm$"))


def to_latex(rows: list[Row]) -> str:
    """Tables with booktabs' rules, for \\input: one or two floats per group, then the notes."""
    text = ["% \\usepackage{booktabs}"]
    for group, members in group_rows(rows).items():
        text += [to_latex_table(table, f"{group}: {table.title}") for table in _tables(members)]
        text += map(escape_latex, [noise_note(members), seeds_needed_note(members)])
    return finish_latex([*text, *map(escape_latex, notes(rows))])


def to_dicts(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The fields of each row, followed by a key for each declared metric that any row has; None where unknown."""
    rows = list(rows)
    names = [metric.name for metric in declared_metrics(rows)]
    result = []
    for row in rows:
        values = asdict(row)
        measured = values.pop("metrics")
        result.append(values | {name: measured.get(name) for name in names})
    return result


def to_frame(rows: Iterable[Row]) -> "pd.DataFrame":
    """`to_dicts` as a DataFrame; NA where unknown."""
    import pandas as pd  # takes a third of a second, which the other formats save

    return pd.DataFrame(to_dicts(rows)).astype({"params": "Int64", "pooled_df": "Int64", "seeds_needed": "Int64"})


def to_csv(rows: list[Row]) -> str:
    """`to_dicts` as CSV; empty where unknown."""
    return to_frame(rows).to_csv(index=False, float_format="%.10g")


def to_json(rows: list[Row]) -> str:
    """`to_dicts` as JSON; null where unknown."""
    return json.dumps(to_dicts(rows), indent=1)
