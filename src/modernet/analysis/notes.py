"""The paragraphs below a results table: the noise in its runs, the seeds needed, the meaning of its columns."""

from collections.abc import Iterable

from modernet.analysis.formatting import count_noun, format_p_equation, format_seeds_needed, format_std_tests
from modernet.analysis.layout import ALPHA_STD, WELCH
from modernet.analysis.outdated import outdated_sentence
from modernet.analysis.row import Row
from modernet.analysis.stats import ALPHA
from modernet.metrics import declared_metrics
from modernet.record import Record
from modernet.runtime.text import shorten

SHOWN_RUNS = 10  # in a note


def noise_note(rows: list[Row]) -> str:
    """The noise in the runs of a group, the tests of equal noise and the effect of the seed; empty where unknown."""
    run = [row for row in rows if row.n]
    steps, others = ([row for row in run if row.is_published is published] for published in (True, False))
    layouts = [
        (title, _describe_layout(tested[0], layout))
        for title, members, layout in (("Steps", steps, steps), ("Variants and side steps", others, run))
        for tested in _group_by_layout(members)
    ]
    if len(layouts) == 2 and layouts[0][1] == layouts[1][1]:
        layouts = [("Steps, variants and side steps", layouts[0][1])]
    sentences = [f"{title}: {text}." for title, text in layouts]
    if sentences and run[0].seed_correlation is not None and run[0].seed_p is not None:
        p = format_p_equation(run[0].seed_p)
        sentences.append(f"Correlation of runs with the same seed: {run[0].seed_correlation:.2f} ({p}).")
    return " ".join(sentences)


def _layout(row: Row) -> tuple[str | None, float | None, int | None]:
    return row.difference_test, row.pooled_std, row.pooled_df


def _group_by_layout(rows: list[Row]) -> list[list[Row]]:
    """The tested rows by the layout that tests them: more than one where rows have other settings."""
    found: dict[object, list[Row]] = {}
    for row in rows:
        if row.difference_test:
            found.setdefault(_layout(row), []).append(row)
    return list(found.values())


def _describe_layout(row: Row, rows: list[Row]) -> str:
    """The noise of the rows of a layout; `row` is one of those that are tested by it, `rows` those of its kind."""
    layout = [member for member in rows if not row.mixed_settings or _layout(member) == _layout(row)]
    stds = [member.top1_std for member in layout if member.top1_std is not None]
    tests = format_std_tests(row.brown_forsythe_p, row.bartlett_p)
    limits = " to ".join(sorted({f"{min(stds):.2f}", f"{max(stds):.2f}"}, key=float))
    source = f"{count_noun(len(stds), 'row')} with std {limits}"
    if row.difference_test == WELCH:
        return f"{source}; {tests}, so Welch's test is used"
    if sum(member.n - 1 for member in layout if member.top1_std is not None) != row.pooled_df:
        source = "more rows than these"  # a part of a table
    return f"pooled std {row.pooled_std:.2f} with {row.pooled_df} degrees of freedom, from {source}; {tests}"


def mixed_settings_note(rows: list[Row]) -> str:
    """What differs between the rows of a group besides their networks; empty where nothing does."""
    fields = next((row.mixed_settings for row in rows if row.mixed_settings), None)
    return (
        f"Rows of this table differ in {fields} though their recipe has one name; only rows with the same values are "
        "compared. --where selects the runs with one value."
        if fields
        else ""
    )


def outdated_note(rows: list[Row]) -> str:
    """The rows whose configs changed after their runs, with both values; empty where none did."""
    return outdated_sentence([(row.name, row.outdated) for row in rows if row.n])


def failed_note(failed: Iterable[Record]) -> str:
    """The runs that failed, which no mean contains; empty without any."""
    runs = [f"{run.variant} with seed {run.seed} ({run.protocol}, size {run.size})" for run in failed]
    return f"Failed runs, which are in no mean: {shorten(runs, SHOWN_RUNS)}." if runs else ""


def seeds_needed_note(rows: list[Row]) -> str:
    """The seeds that separate each variant of a group from its previous step; empty where the noise is unknown."""
    needed = [f"{row.name} {format_seeds_needed(row)}" for row in rows if row.seeds_needed is not None]
    if not needed:
        return ""
    return (
        "Seeds per network needed to detect the difference to the previous step (the same number for every row, power "
        "0.8, two-sided alpha 0.05 before any correction, if difference and std are as observed here): "
        f"{', '.join(needed)}."
    )


def notes(rows: list[Row]) -> list[str]:
    """The meaning of the columns of these rows, a paragraph each."""
    borrowed = sorted({(row.size, row.paper_size) for row in rows if row.paper_size not in (None, row.size)})
    stand_in = "".join(f"; size {size} is not in the paper: values of size {paper}" for size, paper in borrowed)
    measured = "".join(f" {metric.title}: {metric.description}." for metric in declared_metrics(rows))
    return [
        "top-1: percent of the evaluated images after the last epoch, mean ± std over n seeds, with the 95 % "
        "confidence interval of the mean (Student's t). GMACs: convolutions and linear layers, one image. images/s: "
        f"training speed, median over runs; comparable only on the same device with nothing else running.{measured}",
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
        f"sign; undecided where our p (Holm) is not below {ALPHA}, only ours where it is and the paper's confidence "
        "interval includes zero. A paper's value without std counts as exact.",
    ]
