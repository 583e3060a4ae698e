"""Step by step: whether our difference to the step before has the paper's sign."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from modernet.analysis.row import Row


class Verdict(StrEnum):
    """Our sign beside the paper's."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    ONLY_OURS = "only ours"  # ours is decided, and the paper's 95 % interval includes zero
    UNDECIDED = "undecided"  # ours has no p-value below 0.05 after Holm's correction
    NOT_IN_PAPER = "not in the paper"
    NOT_RUN = "not run"


COMPARED = (Verdict.AGREES, Verdict.DISAGREES, Verdict.ONLY_OURS, Verdict.UNDECIDED)  # where both have a difference


def compare_signs(row: Row) -> Verdict | None:
    """The verdict on a difference that both have; None where one of them is missing.

    The paper's difference is taken as exact where one of its two networks has a single run and no std (ResNet-50).
    """
    if row.difference is None or row.paper_difference is None:
        return None
    if not row.is_decided:
        return Verdict.UNDECIDED
    if not row.paper_gap.sign:
        return Verdict.ONLY_OURS
    return Verdict.AGREES if row.difference * row.paper_difference > 0 else Verdict.DISAGREES


def verdict(row: Row) -> Verdict:
    """The verdict on a row of the results table."""
    if row.paper_difference is None:
        return Verdict.NOT_IN_PAPER
    return compare_signs(row) or Verdict.NOT_RUN


def count_verdicts(rows: Iterable[Row]) -> Counter[Verdict]:
    """The number of published steps with each verdict; the start has no step before it and is not counted."""
    return Counter(verdict(row) for row in rows if row.is_published and row.before is not None)
