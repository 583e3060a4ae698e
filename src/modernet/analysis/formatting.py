"""Rows of results -> markdown, CSV, JSON or LaTeX, with what has to be said of the numbers."""

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from tabulate import LATEX_ESCAPE_RULES, tabulate

from modernet.analysis.table import Row, groups

if TYPE_CHECKING:
    import pandas as pd

RESULTS = ["variant", "n", "top-1 (%)", "95 % interval", "GMACs", "parameters", "images/s"]
DIFFERENCES = ["variant", "to the step before", "p", "to the start", "p", "paper", "paper, to the step before", "sign"]
Cells = tuple[str, list[str], list[list[str]]]  # title, headers and body of one table

SHOWN_SEEDS = 1_000


def bounds(low: float | None, high: float | None, sign: str = "") -> str:
    """An interval; empty where there is none."""
    return f"[{low:{sign}.2f}, {high:{sign}.2f}]" if low is not None else ""


def accuracy(row: Row) -> str:
    """Mean ± std; of a single run its accuracy alone."""
    return "not run" if row.top1 is None else f"{row.top1:.2f}" + (f" ± {row.top1_std:.2f}" if row.n > 1 else "")


def _result(row: Row) -> list[str]:
    costs = [f"{row.gmacs:.4f}", f"{row.params:,}", f"{row.images_per_second:,.0f}"] if row.n else ["", "", ""]
    return [row.name, str(row.n), accuracy(row), bounds(row.top1_low, row.top1_high), *costs]


def change(gap: float | None, low: float | None, high: float | None) -> str:
    """A difference, and its interval where there is one."""
    return "" if gap is None else f"{gap:+.2f} {bounds(low, high, '+')}".strip()


def p_value(p: float | None) -> str:
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _difference(row: Row) -> list[str]:
    return [
        row.name,
        change(row.difference, row.difference_low, row.difference_high),
        p_value(row.difference_holm),
        change(row.start_difference, row.start_difference_low, row.start_difference_high),
        p_value(row.start_difference_holm),
        "" if row.paper_top1 is None else f"{row.paper_top1:.2f}",
        change(row.paper_difference, row.paper_difference_low, row.paper_difference_high),
        row.sign or "",
    ]


def _tables(rows: list[Row]) -> list[Cells]:
    """Of one group: what came out, and what differs where there is something to compare."""
    compared = [row for row in rows if row.n]
    tables = [("accuracy and cost", RESULTS, [_result(row) for row in rows])]
    if any(row.difference is not None or row.start_difference is not None for row in compared):
        tables += [("differences", DIFFERENCES, [_difference(row) for row in compared])]
    return tables


def seeds(rows: list[Row]) -> str:
    """Of one group: how many seeds would tell neighbours apart; empty where no pair has a spread."""
    needed = [
        f"{row.name} {row.seeds_needed if row.seeds_needed <= SHOWN_SEEDS else f'> {SHOWN_SEEDS:,}'}"
        for row in rows
        if row.seeds_needed is not None
    ]
    if not needed:
        return ""
    return (
        "Seeds of each that would tell a variant from the step before it (power 0.8, two-sided alpha 0.05, "
        f"if difference and pooled std are as observed here): {', '.join(needed)}."
    )


def notes(table: list[Row]) -> list[str]:
    """What the columns of these rows mean, a paragraph each."""
    borrowed = sorted({(row.size, row.paper_size) for row in table if row.paper_size not in (None, row.size)})
    stand_in = "".join(f"; size {size} is not in the paper: those of {paper}" for size, paper in borrowed)
    return [
        "top-1: percent of the evaluated images after the last epoch, mean ± std over n seeds, and the 95 % interval "
        "of the mean (Student's t). GMACs: convolutions and linear layers, one image. images/s: trained, median over "
        "runs; compare them on one device only.",
        "Differences are in points, with Welch's 95 % intervals: to the step before (of a variant: to its step) and "
        "to the start of the roadmap. p is Welch's, two-sided, corrected by Holm in families: the steps' differences "
        "to the step before, the steps' to the start, and the same two of the variants. No interval: a single seed, "
        "or seeds that all gave the same.",
        f"paper: top-1 on ImageNet-1K (Liu et al. 2022, Tables 10 and 11{stand_in}); intervals from the std and n "
        "printed there. sign: does our difference to the step before have the paper's sign? unclear: the interval of "
        "either includes zero (each taken by itself, uncorrected), or ours is missing.",
    ]


def _tabular(headers: list[str], body: list[list[str]], style: str) -> str:
    columns = ("left", *["right"] * (len(headers) - 1))
    return tabulate(body, headers, style, disable_numparse=True, colalign=columns)


def _escaped(text: str) -> str:
    """For markdown: text of a record ends no cell and begins no HTML."""
    return re.sub(r"(\||<(?=[a-zA-Z/!]))", r"\\\1", text)


def markdown(table: list[Row]) -> str:
    """A heading and tables per group, how many seeds would do, and what the columns mean."""
    text = []
    for group, rows in groups(table).items():
        text += [f"**{_escaped(str(group))}**"]
        text += [
            _tabular(headers, [list(map(_escaped, row)) for row in body], "github")
            for _, headers, body in _tables(rows)
        ]
        text += [_escaped(seeds(rows))]
    return "\n\n".join(filter(None, [*text, *notes(table)]))


def _tex(text: str) -> str:
    return "".join(LATEX_ESCAPE_RULES.get(letter, letter) for letter in text)


def to_latex(table: list[Row]) -> str:
    """Tables with booktabs' rules, for \\input: one or two floats per group, then the notes."""
    text = ["% \\usepackage{booktabs}"]
    for group, rows in groups(table).items():
        for title, headers, body in _tables(rows):
            tabular = _tabular(headers, body, "latex_booktabs")  # which escapes its cells
            caption = f"\\caption{{{_tex(f'{group}: {title}')}}}"
            text += ["\n".join([r"\begin{table}", r"\centering", caption, tabular, r"\end{table}"])]
        text += [_tex(seeds(rows))]
    plain = "\n\n".join(filter(None, [*text, *map(_tex, notes(table))]))
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", plain.replace("±", r"$\pm$"))  # a minus rather than a hyphen


def frame(table: list[Row]) -> "pd.DataFrame":
    """A line per row; what is not known is NA."""
    import pandas as pd  # takes a third of a second, which the other formats save

    return pd.DataFrame(table).astype({"params": "Int64", "seeds_needed": "Int64"})


def to_csv(table: list[Row]) -> str:
    """A line per row; what is not known is empty."""
    return frame(table).to_csv(index=False, float_format="%.10g")


def to_json(table: list[Row]) -> str:
    """A list of rows; what is not known is null."""
    return json.dumps([asdict(row) for row in table], indent=1)
