"""Step by step: whether our difference to the step before has the paper's sign."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from modernet.analysis.row import Row


class Verdict(StrEnum):
    """Our sign beside the paper's, where the 95 % intervals of both differences exclude zero."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    UNDECIDED = "undecided"  # an interval includes zero, or ours is missing
    NOT_IN_PAPER = "not in the paper"
    NOT_RUN = "not run"


_OF_SIGN = {"agrees": Verdict.AGREES, "disagrees": Verdict.DISAGREES, "unclear": Verdict.UNDECIDED}


def verdict(row: Row) -> Verdict:
    """The verdict on a step from its row of the results table."""
    if row.paper_difference is None:
        return Verdict.NOT_IN_PAPER
    if row.difference is None:
        return Verdict.NOT_RUN
    return _OF_SIGN[row.sign or "unclear"]


def count_verdicts(rows: Iterable[Row]) -> Counter[Verdict]:
    """The number of published steps with each verdict; the start has no step before it and is not counted."""
    return Counter(verdict(row) for row in rows if row.is_published and row.before is not None)
