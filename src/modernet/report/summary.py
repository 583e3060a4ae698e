"""Conclusions in words: which steps raised accuracy, as far as confidence intervals and corrected p-values decide."""

from collections.abc import Sequence
from dataclasses import dataclass

from modernet.analysis.formatting import count_noun, count_seeds, format_accuracy, format_difference, format_p_equation
from modernet.analysis.layout import WELCH
from modernet.analysis.notes import mixed_settings_note, outdated_note
from modernet.analysis.signs import COMPARED
from modernet.analysis.stats import ALPHA
from modernet.analysis.table import Row

# What the data say about a row's difference to the previous step -> heading in the report.
VERDICTS = {
    "raised": "Raised top-1",
    "lowered": "Lowered top-1",
    "not significant": "Undecided: the confidence interval excludes zero, but the corrected p-value is too large",
    "undecided": "Undecided: the confidence interval includes zero",
    "not tested": "Not tested: the noise is unknown, with a single seed or no spread between seeds",
    "not compared": "Not compared: the previous step was not run, or with other settings",
}
TESTED = ("raised", "lowered", "not significant", "undecided")
NBSP = "\N{NO-BREAK SPACE}"


def classify(row: Row) -> str:
    """The key in VERDICTS for a row with runs."""
    if row.difference is None:
        return "not compared"
    if row.difference_low is None or row.difference_high is None or row.difference_holm is None:
        return "not tested"
    if row.is_decided:
        return "raised" if row.difference > 0 else "lowered"
    return "undecided" if row.difference_low <= 0 <= row.difference_high else "not significant"


@dataclass(frozen=True)
class Family:
    """Rows whose p-values are corrected for each other, and their conclusion."""

    name: str
    conclusion: str  # a few sentences
    verdicts: list[tuple[str, list[str]]]  # heading, and a line for each of its rows


def build_families(rows: Sequence[Row]) -> list[Family]:
    """The families of a group that have rows: published steps against the previous one, and all other rows."""
    return [
        _build_family(name, members)
        for name, published in (
            ("Steps, compared with the previous step", True),
            ("Variants and side steps, compared with their base", False),
        )
        if (members := [row for row in rows if row.n and row.before and row.is_published == published])
    ]


def _build_family(name: str, members: list[Row]) -> Family:
    rows_of = {verdict: [row for row in members if classify(row) == verdict] for verdict in VERDICTS}
    verdicts = [(VERDICTS[verdict], list(map(_describe_row, rows))) for verdict, rows in rows_of.items() if rows]
    return Family(name, _conclude(rows_of), verdicts)


def _conclude(rows_of: dict[str, list[Row]]) -> str:
    tests = sum(len(rows_of[verdict]) for verdict in TESTED)
    if not tests:
        return (
            "No conclusion: no two neighbours were run, or the size of the noise is unknown, because it takes two or "
            "more seeds with different results."
        )
    conclusion = (
        f"{count_noun(tests, 'test')}, Holm-corrected: at most {100 * ALPHA:.0f} % chance of any false positive where "
        "all networks have the same noise, more where one has much more than the others."
    )
    if undecided := len(rows_of["not significant"]) + len(rows_of["undecided"]):
        verb = "is" if undecided == 1 else "are"
        conclusion += (
            f" {count_noun(undecided, 'test')} {verb} undecided; this does not show that there is no difference."
        )
    tests_used = dict.fromkeys(_describe_test(row) for verdict in TESTED for row in rows_of[verdict])
    return " ".join([conclusion, *tests_used])


def _describe_test(row: Row) -> str:
    """The test of the differences of a family."""
    if row.difference_test == WELCH:
        return "The standard deviations of the variants are unequal, so the tests are Welch's."
    return f"The tests use the pooled std, {row.pooled_std:.2f} points with {row.pooled_df} degrees of freedom."


def _describe_row(row: Row) -> str:
    if row.difference is None:
        return row.title
    p = f", {_format_p(row.difference_holm)}" if row.difference_holm is not None else ""
    return f"{row.title} {format_difference(row.gap)}{p}"


def _format_p(p: float) -> str:
    """`format_p_equation` without a line break."""
    return format_p_equation(p).replace(" ", NBSP)


def describe_group(rows: Sequence[Row]) -> list[str]:
    """A sentence each on the runs of a group, its total difference, its best variant, and the paper's signs."""
    run = [row for row in rows if row.n]
    steps = [row for row in run if row.is_published]
    sentences = [_describe_runs(rows, run, steps), *filter(None, [mixed_settings_note(run), outdated_note(run)])]
    if len(steps) > 1 and steps[-1].start_difference is not None:
        sentences.append(_describe_total(steps[-1]))
    if len(run) > 1:
        best = max(run, key=lambda row: row.top1 or 0)
        sentences.append(
            f"Highest mean: {best.title}, {format_accuracy(best)} %. The maximum of {len(run)} means is biased upwards."
        )
    if signs := [row.sign for row in steps if row.sign]:
        counts = ", ".join(f"{name} in {signs.count(name)}" for name in COMPARED)
        sentences.append(f"Sign of each step's difference, compared with the paper: {counts} of {len(signs)}.")
    return sentences


def _describe_runs(rows: Sequence[Row], run: list[Row], steps: list[Row]) -> str:
    parts = []
    if published := sum(row.is_published for row in rows):
        parts.append(f"{len(steps)} of {count_noun(published, 'step')}")
    if len(run) > len(steps):
        parts.append(count_noun(len(run) - len(steps), "variant"))
    return f"{' and '.join(parts)}, {count_seeds(run)} each: {count_noun(sum(row.n for row in run), 'run')}."


def _describe_total(last: Row) -> str:
    p = last.start_difference_holm
    no_test = "; a single seed or no spread between seeds, so no confidence interval"
    test = no_test if p is None else f", {_format_p(p)} (Holm)"
    start = last.neighbour_title(last.start or "")
    return f"From {start} to {last.title}: {format_difference(last.start_gap)} points of top-1{test}."
