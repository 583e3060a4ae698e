"""Rows of one group -> words: which steps helped, as far as intervals and corrected p-values allow to say."""

from collections.abc import Sequence
from dataclasses import dataclass

from modernet.analysis.formatting import accuracy, change, p_value
from modernet.analysis.stats import ALPHA
from modernet.analysis.table import Row

# What can be said of a row's difference to the one before, and how it is said.
VERDICTS = {
    "raised": "Raised top-1",
    "lowered": "Lowered top-1",
    "uncorrected": "Not decided: the interval excludes zero, but p does not pass after correction",
    "unclear": "Not decided: the interval includes zero",
    "no noise": "No test: a single seed on either side, or no spread",
    "not run": "Not compared: the one before was not run",
}
TESTED = ("raised", "lowered", "uncorrected", "unclear")


def verdict(row: Row) -> str:
    """One of VERDICTS, of a row that was run."""
    if row.difference is None:
        return "not run"
    if row.difference_low is None or row.difference_high is None or row.difference_holm is None:
        return "no noise"
    if row.difference_holm < ALPHA:
        return "raised" if row.difference > 0 else "lowered"
    return "unclear" if row.difference_low <= 0 <= row.difference_high else "uncorrected"


@dataclass(frozen=True)
class Family:
    """Rows whose p-values were corrected together, and what they come to."""

    name: str
    answer: str  # in a sentence
    verdicts: list[tuple[str, list[str]]]  # what can be said, and of which rows with which numbers


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"


def _p(p: float) -> str:
    return f"p\N{NO-BREAK SPACE}{p_value(p) if p < 0.001 else f'= {p_value(p)}'}".replace(" ", "\N{NO-BREAK SPACE}")


def _shown(row: Row) -> str:
    if row.difference is None:
        return row.name
    p = f", {_p(row.difference_holm)}" if row.difference_holm is not None else ""
    return f"{row.name} {change(row.difference, row.difference_low, row.difference_high)}{p}"


def _answer(of: dict[str, list[Row]]) -> str:
    tested = sum(len(of[name]) for name in TESTED)
    if not tested:
        if not any(of.values()):
            return "Nothing was run."
        return (
            "The records cannot tell: no two neighbours were run with two seeds or more that differ, so nothing says "
            "how large a difference is noise."
        )
    raised, lowered = (", ".join(row.name for row in of[name]) for name in ("raised", "lowered"))
    undecided = len(of["uncorrected"]) + len(of["unclear"])
    said = (
        f"By {_counted(tested, 'test')}, corrected together (Holm: the chance of a false find is "
        f"{100 * ALPHA:.0f} % at most), "
        f"{raised or 'nothing'} raised top-1, and {lowered or 'nothing'} lowered it."
    )
    if undecided:
        said += f" {_counted(undecided, 'test')} did not decide, which is not to say that there is no difference."
    return said


def families(rows: Sequence[Row]) -> list[Family]:
    """The steps against the step before, and the variants against their step; those that have rows."""
    result = []
    for name, is_step in (("Steps, against the step before", True), ("Variants, against their step", False)):
        members = [row for row in rows if row.n and row.is_step == is_step and row.before]
        of = {kind: [row for row in members if verdict(row) == kind] for kind in VERDICTS}
        if members:
            said = [(VERDICTS[kind], list(map(_shown, some))) for kind, some in of.items() if some]
            result.append(Family(name, _answer(of), said))
    return result


def overall(rows: Sequence[Row]) -> list[str]:
    """What was run of one group, from where to where it went, how it compares to the paper; a sentence each."""
    run = [row for row in rows if row.n]
    steps, seeds = [row for row in run if row.is_step], sorted({row.n for row in run})
    planned = sum(row.is_step for row in rows)
    each = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else _counted(seeds[0], "seed")
    variants = f" and {_counted(len(run) - len(steps), 'variant')}" if len(run) > len(steps) else ""
    said = [f"{len(steps)} of {_counted(planned, 'step')}{variants}, {each} each: {sum(row.n for row in run)} runs."]
    if len(steps) > 1 and (last := steps[-1]).start_difference is not None:
        gap = change(last.start_difference, last.start_difference_low, last.start_difference_high)
        p = last.start_difference_holm
        sure = f", {_p(p)} after correction" if p is not None else "; no interval, for want of seeds or spread"
        start = (last.start or "").removesuffix(f"+{last.changes}")
        said += [f"From {start} to {last.name}: {gap} points of top-1{sure}."]
    if len(run) > 1:
        best = max(run, key=lambda row: row.top1 or 0)
        said += [
            f"Highest mean: {best.name}, {accuracy(best)} %; the highest of {len(run)}, picked afterwards, is "
            "likely to be flattered."
        ]
    signs = [row.sign for row in steps if row.sign]
    if signs:
        said += [
            f"Sign of the step's difference against the paper's: agrees in {signs.count('agrees')}, disagrees in "
            f"{signs.count('disagrees')}, unclear in {signs.count('unclear')} of {len(signs)}."
        ]
    return said
