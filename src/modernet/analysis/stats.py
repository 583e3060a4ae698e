"""Statistics of a few runs per network: confidence intervals, tests of differences, Holm's correction, power."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev
from typing import NamedTuple

from scipy.special import (
    ncfdtr,
    ndtri,
    stdtr,
    stdtrit,
)  # scipy.stats has them too, but takes most of a second to import

ALPHA = 0.05  # two-sided; confidence intervals are 95 %
POWER = 0.8
MAX_SEEDS = 1_000_000


class Sample(NamedTuple):
    """Summary of the runs of one network."""

    n: int
    mean: float
    std: float | None  # sample standard deviation; None for a single run


class PooledStd(NamedTuple):
    """The standard deviation of runs within networks, estimated from several networks together."""

    std: float
    freedom: int  # degrees of freedom


@dataclass(frozen=True)
class Difference:
    """A difference of two means (None: nothing to compare), with its 95 % confidence interval and two-sided p-value.

    Interval and p-value are None where the noise cannot be estimated.
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

    def negated(self) -> "Difference":
        """The difference of the two means in the other order."""
        mean, low, high = (None if value is None else -value for value in (self.mean, self.high, self.low))
        return Difference(mean, low, high, self.p)


def summarize(values: Sequence[float]) -> Sample:
    """Number, mean and standard deviation of at least one value."""
    return Sample(len(values), mean(values), stdev(values) if len(values) > 1 else None)


def t_quantile(freedom: float) -> float:
    """Student's t: half of a 95 % confidence interval in standard errors."""
    return float(stdtrit(freedom, 1 - ALPHA / 2))


def bootstrap_widening(freedom: float) -> float:
    """Student's t over the normal quantile, by which a bootstrap of few values is too narrow."""
    return t_quantile(freedom) / float(ndtri(1 - ALPHA / 2))


def satterthwaite(terms: Iterable[tuple[float, float]]) -> float:
    """The degrees of freedom of a sum of means with unequal noise (Satterthwaite 1946); 0 without noise.

    A term is the variance of a mean and its degrees of freedom.
    """
    noisy = [(variance, freedom) for variance, freedom in terms if variance]
    if not noisy:
        return 0.0
    return sum(variance for variance, _ in noisy) ** 2 / sum(variance**2 / freedom for variance, freedom in noisy)


def confidence_interval(sample: Sample) -> tuple[float, float] | None:
    """The 95 % confidence interval of the mean by Student's t; None where the runs do not differ."""
    return pooled_interval(sample, PooledStd(sample.std, sample.n - 1)) if sample.std else None


def pool_std(samples: Iterable[Sample]) -> PooledStd | None:
    """The square root of the mean square within networks (one-way ANOVA).

    A single run adds nothing. None where no network has two runs.
    """
    repeated = [(sample.n - 1, sample.std) for sample in samples if sample.std is not None]
    freedom = sum(degrees for degrees, _ in repeated)
    if not freedom:
        return None
    return PooledStd(sqrt(sum(degrees * std**2 for degrees, std in repeated) / freedom), freedom)


def pooled_interval(sample: Sample, pooled: PooledStd) -> tuple[float, float]:
    """The 95 % confidence interval of a mean, if its runs have the pooled standard deviation."""
    half = t_quantile(pooled.freedom) * pooled.std / sqrt(sample.n)
    return sample.mean - half, sample.mean + half


def contrast(after: Sample, before: Sample, pooled: PooledStd) -> Difference:
    """The difference of the means by Student's t, if all networks have the pooled standard deviation.

    Each mean may be of a single run.
    """
    return estimated_difference(after.mean - before.mean, pooled.std**2 * (1 / after.n + 1 / before.n), pooled.freedom)


def welch(after: Sample, before: Sample) -> Difference:
    """The difference of the means by Welch (1947): the standard deviations may differ.

    There is no interval where one of the means is of a single run, or neither network's runs differ.
    """
    gap = after.mean - before.mean
    if after.std is None or before.std is None or after.std == before.std == 0:
        return Difference(gap)
    a, b = after.std**2 / after.n, before.std**2 / before.n
    return estimated_difference(gap, a + b, satterthwaite([(a, after.n - 1), (b, before.n - 1)]))


def estimated_difference(gap: float, variance: float, freedom: float) -> Difference:
    """A difference with the variance of its estimate, by Student's t; without an interval where that is zero."""
    if not variance:
        return Difference(gap)
    error = sqrt(variance)
    half = t_quantile(freedom) * error
    return Difference(gap, gap - half, gap + half, 2 * float(stdtr(freedom, -abs(gap) / error)))


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


def power(effect: float, n: int, networks: float = 2) -> float:
    """Power of the two-sided t-test of two networks of n runs whose means differ by `effect` standard deviations.

    The standard deviation is pooled over this number of networks of n runs; of two with unequal noise it is between 1
    and 2, by Satterthwaite. The square of a noncentral t is a noncentral F, which has both tails at once.
    """
    freedom = networks * (n - 1)
    critical = t_quantile(freedom)
    return 1 - float(ncfdtr(1, freedom, effect**2 * n / 2, critical**2))


def seeds_needed(difference: float, std: float, networks: float = 2) -> int | None:
    """Seeds per network for a power of 0.8 to detect this difference, if these are its true value and the true noise.

    `networks` is that of `power`. None where there is no difference or no noise; at most a million.
    """
    if not difference or not std:
        return None
    effect = difference / std
    return bisect_left(range(MAX_SEEDS), POWER, lo=2, key=lambda n: power(effect, n, networks))
