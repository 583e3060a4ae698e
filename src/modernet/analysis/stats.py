"""Statistics of a few runs: no accuracy without its n and spread, no difference without its interval."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev
from typing import NamedTuple

from scipy.special import ncfdtr, stdtr, stdtrit  # scipy.stats has them too, and takes most of a second to import

ALPHA = 0.05  # two-sided; intervals hold 95 %
POWER = 0.8
MANY_SEEDS = 1_000_000


class Sample(NamedTuple):
    """What is known of some runs."""

    n: int
    mean: float
    std: float | None  # the sample's; None for a single run


@dataclass(frozen=True)
class Difference:
    """A difference of two means (None: nothing to compare), with its 95 % interval and two-sided p-value.

    No interval and no p-value where either mean is of a single run, or where no run differs from its namesakes: there
    is nothing to estimate the noise from.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def sign(self) -> int:
        """1 or -1, or 0 where the interval includes zero."""
        if self.mean is None or (self.low is not None and self.high is not None and self.low <= 0 <= self.high):
            return 0
        return (self.mean > 0) - (self.mean < 0)


def spread(values: Sequence[float]) -> float | None:
    """The sample standard deviation; None for a single run."""
    return stdev(values) if len(values) > 1 else None


def sample(values: Sequence[float]) -> Sample:
    return Sample(len(values), mean(values), spread(values))


def interval(of: Sample) -> tuple[float, float] | None:
    """The 95 % interval of the mean by Student's t; None where the runs show no spread."""
    if not of.std:
        return None
    half = float(stdtrit(of.n - 1, 1 - ALPHA / 2)) * of.std / sqrt(of.n)
    return of.mean - half, of.mean + half


def welch(after: Sample, before: Sample) -> Difference:
    """The difference of the means; interval and p-value are Welch's (1947), which lets the two spreads differ."""
    gap = after.mean - before.mean
    if after.std is None or before.std is None or after.std == before.std == 0:
        return Difference(gap)
    a, b = after.std**2 / after.n, before.std**2 / before.n
    freedom = (a + b) ** 2 / (a**2 / (after.n - 1) + b**2 / (before.n - 1))  # Satterthwaite
    half = float(stdtrit(freedom, 1 - ALPHA / 2)) * sqrt(a + b)
    return Difference(gap, gap - half, gap + half, 2 * float(stdtr(freedom, -abs(gap) / sqrt(a + b))))


def difference(after: Sequence[float], before: Sequence[float]) -> Difference:
    """mean(after) - mean(before), as `welch` has it."""
    return welch(sample(after), sample(before))


def holm(family: Sequence[float | None]) -> list[float | None]:
    """The p-values of a family, corrected by Holm (1979): the chance of one false find or more stays below alpha.

    None is no test: it stays None, and does not count.
    """
    order = sorted((p, place) for place, p in enumerate(family) if p is not None)
    corrected = list(family)
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        corrected[place] = largest = max(largest, min(1.0, (len(order) - rank) * p))
    return corrected


def power(effect: float, n: int) -> float:
    """How often a two-sided t-test of two groups of n runs tells them apart; effect: their difference in stds.

    The square of a noncentral t is a noncentral F, which has both tails at once.
    """
    freedom = 2 * n - 2
    critical = stdtrit(freedom, 1 - ALPHA / 2)
    return 1 - float(ncfdtr(1, freedom, effect**2 * n / 2, critical**2))


def seeds_needed(after: Sample, before: Sample) -> int | None:
    """Seeds of each that tell the two apart with a power of 0.8, if difference and pooled std are as observed.

    None where there is no difference or no spread; at most a million.
    """
    if after.std is None or before.std is None or after.mean == before.mean or after.std == before.std == 0:
        return None
    freedom = after.n + before.n - 2
    pooled = sqrt(((after.n - 1) * after.std**2 + (before.n - 1) * before.std**2) / freedom)
    effect = (after.mean - before.mean) / pooled
    return bisect_left(range(MANY_SEEDS), POWER, lo=2, key=lambda n: power(effect, n))
