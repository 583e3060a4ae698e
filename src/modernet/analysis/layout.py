"""The one-way layout of a comparison: pooled noise, tests of equal noise, effect of the seed, planned contrasts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import mean, median, variance
from typing import NamedTuple

from scipy.special import chdtrc, fdtrc  # scipy.stats takes most of a second to import

from modernet.analysis.stats import (
    ALPHA,
    Difference,
    PooledStd,
    Sample,
    confidence_interval,
    contrast,
    holm,
    pool_std,
    pooled_interval,
    satterthwaite,
    seeds_needed,
    summarize,
    welch,
)

ALPHA_STD = 0.01  # of the tests of equal standard deviations
POOLED, WELCH = "pooled", "welch"


@dataclass(frozen=True)
class Layout:
    """Networks that are compared with each other, and the test of their differences.

    The differences are planned contrasts of a one-way layout: the noise is pooled over all networks. Where
    Brown-Forsythe's or Bartlett's test rejects equal standard deviations, Welch's test takes the place of the contrast.
    """

    networks: int  # with at least one run
    pooled: PooledStd | None  # None where no network has two runs
    brown_forsythe_p: float | None
    bartlett_p: float | None

    @property
    def test(self) -> str | None:
        """`pooled` or `welch`; None where the noise is unknown."""
        if self.pooled is None or not self.pooled.std:
            return None
        p_values = [p for p in (self.brown_forsythe_p, self.bartlett_p) if p is not None]
        return WELCH if p_values and min(p_values) < ALPHA_STD else POOLED

    @property
    def noise(self) -> PooledStd | None:
        """The noise of every network; None where it is unequal or unknown."""
        return self.pooled if self.test == POOLED else None

    def compare(self, after: Sample, before: Sample) -> Difference:
        """The difference of the means of two networks."""
        if self.pooled is None or self.test == WELCH:
            return welch(after, before)
        return contrast(after, before, self.pooled)

    def interval(self, sample: Sample) -> tuple[float, float] | None:
        """The 95 % confidence interval of a mean by the same noise as the differences; None where it is unknown.

        The mean may be of a single run where the noise is pooled.
        """
        return pooled_interval(sample, self.noise) if self.noise else confidence_interval(sample)

    def seeds_needed(self, after: Sample, before: Sample) -> int | None:
        """Seeds per network to detect the observed difference by the same test, if all networks have as many."""
        gap = after.mean - before.mean
        if self.noise:
            return seeds_needed(gap, self.noise.std, self.networks)
        if after.std is None or before.std is None:
            return None
        variances = after.std**2, before.std**2
        per_seed = satterthwaite((variance, 1) for variance in variances)
        return seeds_needed(gap, sqrt(mean(variances)), per_seed)


def build_layout(values: Iterable[Sequence[float]]) -> Layout:
    """The layout of networks from the results of each network's runs, at least one per network."""
    networks = list(values)
    pooled = pool_std(map(summarize, networks))
    return Layout(len(networks), pooled, brown_forsythe(networks), bartlett(networks))


def brown_forsythe(values: Iterable[Sequence[float]]) -> float | None:
    """The p-value of equal standard deviations by Brown and Forsythe (1974): ANOVA of distances to the median.

    Networks of one or two runs are omitted: both distances of two runs are the same. None for fewer than two
    networks, and where no distance differs from zero.
    """
    distances = [list(map(abs, _deviations(runs, median(runs)))) for runs in values if len(runs) > 2]
    if len(distances) < 2 or not any(map(any, distances)):
        return None
    grand_mean = mean(distance for runs in distances for distance in runs)
    between = sum(len(runs) * (mean(runs) - grand_mean) ** 2 for runs in distances)
    within = sum(deviation**2 for runs in distances for deviation in _deviations(runs, mean(runs)))
    freedom = len(distances) - 1, sum(map(len, distances)) - len(distances)
    return _f_test(between / freedom[0], within / freedom[1], *freedom)


def bartlett(values: Iterable[Sequence[float]]) -> float | None:
    """The p-value of equal standard deviations by Bartlett (1937): the likelihood ratio for normal noise.

    Networks of one run are omitted, and those whose runs do not differ. None for fewer than two networks.
    """
    spread = [(len(runs) - 1, variance(runs)) for runs in values if len(runs) > 1 and variance(runs)]
    if len(spread) < 2:
        return None
    freedom = sum(degrees for degrees, _ in spread)
    pooled = sum(degrees * square for degrees, square in spread) / freedom
    statistic = sum(degrees * log(pooled / square) for degrees, square in spread)
    correction = 1 + (sum(1 / degrees for degrees, _ in spread) - 1 / freedom) / (3 * (len(spread) - 1))
    return float(chdtrc(len(spread) - 1, max(statistic, 0.0) / correction))  # rounding may lead below zero


class SeedEffect(NamedTuple):
    """What runs of different networks with the same seed have in common."""

    correlation: float  # of two such runs; negative estimates are possible
    p: float  # of no effect of the seed


def estimate_seed_effect(networks: Iterable[Mapping[int, float]]) -> SeedEffect | None:
    """The effect of the seed from the results by seed of each network, by a two-way layout without interaction.

    Covers the seeds that most runs have in common, and the networks with all of them. None where there are fewer than
    two of either, or no noise.
    """
    block = _largest_complete_block(list(networks))
    if not block:
        return None
    deviations = [_deviations(runs, mean(runs)) for runs in block]  # (networks, seeds)
    effects = [mean(of_seed) for of_seed in zip(*deviations, strict=True)]
    rows, seeds = len(block), len(effects)
    freedom = seeds - 1, (rows - 1) * (seeds - 1)
    residuals = [value - effect for runs in deviations for value, effect in zip(runs, effects, strict=True)]
    of_seeds = rows * sum(effect**2 for effect in effects) / freedom[0]
    of_noise = sum(residual**2 for residual in residuals) / freedom[1]
    if not of_seeds + of_noise:
        return None
    correlation = (of_seeds - of_noise) / (of_seeds + (rows - 1) * of_noise)
    return SeedEffect(correlation, _f_test(of_seeds, of_noise, *freedom))


def _deviations(values: Sequence[float], center: float) -> list[float]:
    return [value - center for value in values]


def _largest_complete_block(results: list[Mapping[int, float]]) -> list[list[float]]:
    """The results of some networks with the same seeds, (networks, seeds); empty where no block has two of both."""
    block: list[list[float]] = []
    sets = {frozenset(result) for result in results}
    for seeds in sorted({tuple(sorted(first & second)) for first in sets for second in sets}):
        complete = [[result[seed] for seed in seeds] for result in results if result.keys() >= set(seeds)]
        if min(len(seeds), len(complete)) > 1 and len(seeds) * len(complete) > sum(map(len, block)):
            block = complete
    return block


def _f_test(mean_square: float, noise: float, freedom: int, noise_freedom: int) -> float:
    """The p-value of a mean square; without noise 0, or 1 where the mean square is zero too."""
    return float(fdtrc(freedom, noise_freedom, mean_square / noise)) if noise else float(not mean_square)


class Contrast(NamedTuple):
    """A network against the reference."""

    sample: Sample
    difference: Difference  # to the reference, in points
    holm: float | None  # p-value, corrected over the networks

    @property
    def is_decided(self) -> bool:
        """Whether the difference is significant after Holm's correction."""
        return self.holm is not None and self.holm < ALPHA


def compare_with(
    reference: Sequence[float], others: Mapping[str, Sequence[float]], layout: Layout
) -> dict[str, Contrast]:
    """Each network's top-1 minus the reference's, from the top-1 of each seed, by the noise and test of the layout."""
    samples = {name: summarize(values) for name, values in others.items()}
    differences = {name: layout.compare(sample, summarize(reference)) for name, sample in samples.items()}
    corrected = holm([difference.p for difference in differences.values()])
    return {
        name: Contrast(samples[name], difference, p)
        for (name, difference), p in zip(differences.items(), corrected, strict=True)
    }
