"""Statistics of a few runs: no accuracy without its n and spread, no difference without its interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from scipy.stats import ttest_ind


@dataclass(frozen=True)
class Difference:
    """A difference of two means (None: nothing to compare), with its 95 % interval where both have two runs or more."""

    mean: float | None
    low: float | None = None
    high: float | None = None


def spread(values: Sequence[float]) -> float | None:
    """The sample standard deviation; None for a single run."""
    return stdev(values) if len(values) > 1 else None


def difference(after: Sequence[float], before: Sequence[float]) -> Difference:
    """mean(after) - mean(before); the interval is Welch's (1947), which lets the two spreads differ."""
    gap = mean(after) - mean(before)
    if min(len(after), len(before)) < 2:
        return Difference(gap)
    if stdev(after) == stdev(before) == 0:  # nothing to estimate the noise from
        return Difference(gap, gap, gap)
    interval = ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    return Difference(gap, float(interval.low), float(interval.high))
