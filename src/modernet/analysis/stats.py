"""Statistics of a few runs per network: confidence intervals, Welch's test, Holm's correction, power."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev
from typing import NamedTuple

from scipy.special import ncfdtr, stdtr, stdtrit  # scipy.stats has them too, but takes most of a second to import

ALPHA = 0.05  # two-sided; confidence intervals are 95 %
POWER = 0.8
MAX_SEEDS = 1_000_000


class Sample(NamedTuple):
    """Summary of the runs of one network."""

    n: int
    mean: float
    std: float | None  # sample standard deviation; None for a single run


@dataclass(frozen=True)
class Difference:
    """A difference of two means (None: nothing to compare), with its 95 % confidence interval and two-sided p-value.

    Interval and p-value are None where the noise cannot be estimated: one of the means is of a single run, or neither
    network's runs differ.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def sign(self) -> int:
        """1 or -1, or 0 where the confidence interval includes zero."""
        if self.mean is None or (self.low is not None and self.high is not None and self.low <= 0 <= self.high):
            return 0
        return (self.mean > 0) - (self.mean < 0)


def sample_std(values: Sequence[float]) -> float | None:
    """The sample standard deviation; None for a single value."""
    return stdev(values) if len(values) > 1 else None


def summarize(values: Sequence[float]) -> Sample:
    """Number, mean and standard deviation of at least one value."""
    return Sample(len(values), mean(values), sample_std(values))


def confidence_interval(sample: Sample) -> tuple[float, float] | None:
    """The 95 % confidence interval of the mean by Student's t; None where the runs do not differ."""
    if not sample.std:
        return None
    half = float(stdtrit(sample.n - 1, 1 - ALPHA / 2)) * sample.std / sqrt(sample.n)
    return sample.mean - half, sample.mean + half


def welch(after: Sample, before: Sample) -> Difference:
    """The difference of the means, with confidence interval and p-value by Welch (1947): the variances may differ."""
    gap = after.mean - before.mean
    if after.std is None or before.std is None or after.std == before.std == 0:
        return Difference(gap)
    a, b = after.std**2 / after.n, before.std**2 / before.n
    freedom = (a + b) ** 2 / (a**2 / (after.n - 1) + b**2 / (before.n - 1))  # Satterthwaite
    half = float(stdtrit(freedom, 1 - ALPHA / 2)) * sqrt(a + b)
    return Difference(gap, gap - half, gap + half, 2 * float(stdtr(freedom, -abs(gap) / sqrt(a + b))))


def difference(after: Sequence[float], before: Sequence[float]) -> Difference:
    """mean(after) - mean(before), with the statistics of `welch`."""
    return welch(summarize(after), summarize(before))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p-values of one family, corrected by Holm (1979) for the familywise error rate.

    None stands for a test that was not made: it stays None and does not count.
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected = list(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        corrected[index] = largest = max(largest, min(1.0, (len(order) - rank) * p))
    return corrected


def power(effect: float, n: int) -> float:
    """Power of the two-sided t-test of two groups of n runs whose means differ by `effect` standard deviations.

    The square of a noncentral t is a noncentral F, which has both tails at once.
    """
    freedom = 2 * n - 2
    critical = stdtrit(freedom, 1 - ALPHA / 2)
    return 1 - float(ncfdtr(1, freedom, effect**2 * n / 2, critical**2))


def seeds_needed(after: Sample, before: Sample) -> int | None:
    """Seeds per network for a power of 0.8, if difference and pooled std are as observed.

    None where there is no difference or no noise; at most a million.
    """
    if after.std is None or before.std is None or after.mean == before.mean or after.std == before.std == 0:
        return None
    freedom = after.n + before.n - 2
    pooled = sqrt(((after.n - 1) * after.std**2 + (before.n - 1) * before.std**2) / freedom)
    effect = (after.mean - before.mean) / pooled
    return bisect_left(range(MAX_SEEDS), POWER, lo=2, key=lambda n: power(effect, n))
