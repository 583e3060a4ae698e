"""Numbers of a row as text, and tables of such text as Markdown and LaTeX."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import LATEX_ESCAPE_RULES, tabulate

from modernet.analysis.row import Row
from modernet.analysis.stats import ALPHA, Difference, Sample
from modernet.record import Record

SHOWN_SEEDS = 1_000  # larger numbers of seeds are shown as > 1,000


def describe_contradiction(records: Mapping[Path, Record]) -> str:
    """The error for two records of one run with different results; a run of one seed has one result."""
    run = next(iter(records.values()))
    values = " and ".join(f"{path} has top-1 {record.top1:.10g}" for path, record in records.items())
    return f"two records of one run disagree, {run.variant} with seed {run.seed}: {values}; delete one of them"


class TextTable(NamedTuple):
    """One table as text."""

    title: str
    headers: list[str]
    body: list[list[str]]


def format_interval(low: float | None, high: float | None, sign: str = "") -> str:
    """`[low, high]`; empty without an interval. `sign` is "+" for differences."""
    if low is None or high is None:
        return ""
    # Whether a difference is decided must not be hidden by rounding an end to zero.
    low_text, high_text = (_format_apart(end, sign, 2, 0.0) for end in (low, high))
    return f"[{low_text}, {high_text}]"


def _format_apart(value: float, sign: str, decimals: int, limit: float) -> str:
    """A number with as many decimals, up to four more, as tell on which side of the limit it is."""
    for more in range(5):
        text = f"{value:{sign}.{decimals + more}f}"
        if (float(text) < limit) == (value < limit) and (float(text) > limit) == (value > limit):
            return text
    return f"{value:{sign}.{decimals}f}"


def format_accuracy(row: Row) -> str:
    """`format_sample` of the row's runs, or that it was not run."""
    return "not run" if row.sample is None else format_sample(row.sample)


def format_sample(sample: Sample) -> str:
    """Mean ± std in percent; the accuracy alone for a single run."""
    return f"{sample.mean:.2f}" + ("" if sample.std is None else f" ± {sample.std:.2f}")


def format_difference(gap: Difference) -> str:
    """A difference in percentage points, with its confidence interval where there is one; empty without one."""
    return "" if gap.mean is None else f"{gap.mean:+.2f} {format_interval(gap.low, gap.high, '+')}".strip()


def format_p_value(p: float | None) -> str:
    """Three decimals, more where they hide whether p is below 0.05; empty without a test."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else _format_apart(p, "", 3, ALPHA)


def format_p_equation(p: float) -> str:
    """`p = 0.021` or `p < 0.001`."""
    text = format_p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def format_std_tests(brown_forsythe_p: float | None, bartlett_p: float | None) -> str:
    """The p-values of the tests of equal standard deviations."""
    tests = {"Brown-Forsythe": brown_forsythe_p, "Bartlett": bartlett_p}
    texts = [f"{name} {format_p_equation(p)}" for name, p in tests.items() if p is not None]
    return f"tests of equal std: {', '.join(texts)}" if texts else "too few seeds to test equal std"


def count_noun(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def count_range(numbers: Iterable[int], noun: str) -> str:
    """`3 seeds`, or `1 to 3 seeds` where the numbers differ; empty without numbers."""
    found = sorted(set(numbers))
    if len(found) > 1:
        return f"{found[0]} to {found[-1]} {noun}s"
    return count_noun(found[0], noun) if found else ""


def count_seeds(run: Iterable[Row]) -> str:
    """`3 seeds`, or `1 to 3 seeds` where rows have different numbers."""
    return count_range((row.n for row in run), "seed")


def count_epochs(rows: Iterable[Row]) -> str:
    """`6 epochs`, or `2 to 6 epochs`; empty where the rows do not tell."""
    return count_range((row.epochs for row in rows if row.epochs is not None), "epoch")


def join_words(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def format_seeds_needed(row: Row) -> str:
    """Seeds per network; empty where the noise is unknown."""
    if row.seeds_needed is None:
        return ""
    return f"{row.seeds_needed:,}" if row.seeds_needed <= SHOWN_SEEDS else f"> {SHOWN_SEEDS:,}"


def tabulate_text(headers: Sequence[str], body: Sequence[Sequence[str]], style: str = "github") -> str:
    """A table of text, by default in Markdown; the first column is on the left, the others on the right."""
    columns = ("left", *["right"] * (len(headers) - 1))
    return tabulate(body, headers, style, disable_numparse=True, colalign=columns)


CONTROL = re.compile(r"[\x00-\x1f\x7f]+")  # line breaks, and the codes that a terminal obeys
FORMULA = re.compile(r"[=+\-@\t\r]")  # what a spreadsheet takes for the start of one
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")


def escape_markdown(text: str) -> str:
    """Text of a record must neither end a cell, nor begin HTML, a link or an image."""
    return re.sub(r"(\||<(?=[a-zA-Z/!])|\((?<=\]\())", r"\\\1", CONTROL.sub(" ", text))


def escape_formula(value: Any) -> Any:
    """A value for CSV: a text that a spreadsheet would execute as a formula begins with an apostrophe."""
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def to_markdown_table(table: TextTable) -> str:
    """One table without its title."""
    body = [[escape_markdown(cell) for cell in cells] for cells in table.body]
    return tabulate_text(list(map(escape_markdown, table.headers)), body)


def escape_latex(text: str) -> str:
    """Text of a record as LaTeX."""
    return "".join(LATEX_ESCAPE_RULES.get(letter, letter) for letter in CONTROL.sub(" ", text))


def to_latex_table(table: TextTable, caption: str) -> str:
    """One table as a float with booktabs' rules, and a label made of the caption: tab:digits-size-micro."""
    label = re.sub(r"[^a-z0-9]+", "-", caption.lower()).strip("-")
    body = [[CONTROL.sub(" ", cell) for cell in cells] for cells in table.body]
    tabular = tabulate_text(table.headers, body, "latex_booktabs")  # escapes its cells
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\small",
            f"\\caption{{{escape_latex(caption)}}}",
            f"\\label{{tab:{label}}}",
            tabular,
            r"\end{table}",
        ]
    )


def finish_latex(paragraphs: Iterable[str]) -> str:
    """The paragraphs as one text, with minus signs instead of hyphens."""
    plain = "\n\n".join(filter(None, paragraphs))
    return re.sub(
        r"(?<![\w-])-(?=\d)", "$-$", plain.replace("±", r"$\pm$").replace("\N{MULTIPLICATION SIGN}", r"$\times$")
    )
