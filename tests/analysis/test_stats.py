"""Statistics equal those of scipy.stats and of calculations by hand."""

import statistics
from itertools import count

import numpy as np
import pytest
from scipy import stats as scipy_stats

from modernet.analysis.stats import (
    Difference,
    PooledStd,
    Sample,
    confidence_interval,
    contrast,
    holm,
    pool_std,
    power,
    seeds_needed,
    summarize,
    welch,
)

AFTER, BEFORE = [92.0, 93.0, 94.5], [90.0, 91.0, 92.0, 90.5]


def welch_of(after: list[float], before: list[float]) -> Difference:
    return welch(summarize(after), summarize(before))


def random_samples(seed: int) -> list[list[float]]:
    """Two to six samples of one to six values, the first of at least two."""
    draw = np.random.default_rng(seed)
    sizes = [2 + seed % 3, *draw.integers(1, 7, 1 + seed % 5)]
    return [draw.normal(draw.normal(70, 3), 1.0, size).tolist() for size in sizes]


def test_confidence_interval_of_a_mean_is_students():
    # By hand: t of 3 degrees of freedom is 3.182; std 0.854, n 4.
    assert confidence_interval(summarize(BEFORE)) == pytest.approx((90.875 - 1.3587, 90.875 + 1.3587), abs=1e-3)
    expected = scipy_stats.t.interval(0.95, 2, statistics.mean(AFTER), scipy_stats.sem(AFTER))
    assert confidence_interval(summarize(AFTER)) == pytest.approx(expected)


def test_difference_has_welchs_confidence_interval_and_p_value():
    result = welch_of(AFTER, BEFORE)
    # Welch-Satterthwaite by hand
    a, b = (statistics.variance(values) / len(values) for values in (AFTER, BEFORE))
    freedom = (a + b) ** 2 / (a**2 / 2 + b**2 / 3)
    half = scipy_stats.t.ppf(0.975, freedom) * (a + b) ** 0.5
    gap = statistics.mean(AFTER) - statistics.mean(BEFORE)
    assert (result.mean, result.low, result.high) == pytest.approx((gap, gap - half, gap + half))
    of_scipy = scipy_stats.ttest_ind(AFTER, BEFORE, equal_var=False)
    assert result.p == pytest.approx(of_scipy[1])
    assert welch_of(BEFORE, AFTER) == Difference(-gap, -result.high, -result.low, result.p)  # pyright: ignore


@pytest.mark.parametrize("seed", range(20))
def test_welch_equals_scipy_on_random_samples(seed):
    draw = np.random.default_rng(seed)
    after, before = (draw.normal(70, 10.0 ** draw.integers(-3, 2), draw.integers(2, 9)) for _ in range(2))
    result, of_scipy = (
        welch_of(after.tolist(), before.tolist()),
        scipy_stats.ttest_ind(after, before, equal_var=False),
    )
    interval = of_scipy.confidence_interval(0.95)
    assert (result.low, result.high, result.p) == pytest.approx((interval.low, interval.high, of_scipy[1]), rel=1e-6)


def test_welch_works_from_printed_means_and_stds():
    """The paper prints 80.50 ± 0.02 after 78.28 ± 0.08, three seeds each."""
    result = welch(Sample(3, 80.50, 0.02), Sample(3, 78.28, 0.08))
    of_scipy = scipy_stats.ttest_ind_from_stats(80.50, 0.02, 3, 78.28, 0.08, 3, equal_var=False)
    assert result.p == pytest.approx(of_scipy[1])
    assert result.sign == 1


def test_contrast_equals_calculation_by_hand():
    # Within-network squares: 3.1667 with 2, 2.1875 with 3 and 0.5 with 1 degrees of freedom: std 0.98777 with 6.
    pooled = pool_std(map(summarize, (AFTER, BEFORE, [95.0, 96.0], [80.0])))
    assert pooled
    assert pooled == (pytest.approx(0.98777, abs=1e-5), 6)
    result = contrast(summarize(AFTER), summarize(BEFORE), pooled)
    # t of 6 degrees of freedom is 2.4469; the error is 0.98777 * sqrt(1 / 3 + 1 / 4) = 0.75442.
    assert (result.mean, result.low) == pytest.approx((2.29167, 2.29167 - 2.4469 * 0.75442), abs=1e-4)
    assert result.p == pytest.approx(2 * scipy_stats.t.sf(2.29167 / 0.75442, 6), abs=1e-5)
    single = contrast(Sample(1, 80.0, None), summarize(BEFORE), pooled)  # a single run has the error of one run
    assert single.high == pytest.approx(80 - 90.875 + 2.4469 * 0.98777 * (1 + 1 / 4) ** 0.5, abs=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_pooled_std_is_the_square_root_of_the_mean_square_within_of_anova(seed):
    samples = random_samples(seed)
    pooled = pool_std(map(summarize, samples))
    assert pooled
    values = [value for sample in samples for value in sample]
    means = [statistics.mean(sample) for sample in samples]
    grand = statistics.mean(values)
    between = sum(len(sample) * (mean - grand) ** 2 for sample, mean in zip(samples, means, strict=True))
    f_statistic, _ = scipy_stats.f_oneway(*samples)
    assert pooled.std**2 == pytest.approx(between / (len(samples) - 1) / f_statistic)
    assert pooled.freedom == len(values) - len(samples)


@pytest.mark.parametrize("seed", range(20))
def test_contrast_of_two_samples_alone_is_students_and_anovas(seed):
    after, before = random_samples(seed)[:2]
    pooled = pool_std(map(summarize, (after, before)))
    assert pooled
    result = contrast(summarize(after), summarize(before), pooled)
    of_scipy = scipy_stats.ttest_ind(after, before)
    interval = of_scipy.confidence_interval(0.95)
    assert (result.low, result.high, result.p) == pytest.approx((interval.low, interval.high, of_scipy[1]), rel=1e-6)
    if len(before) > 1:
        assert result.p == pytest.approx(scipy_stats.f_oneway(after, before)[1])


def test_confidence_intervals_of_contrasts_cover_the_true_difference():
    """At the nominal rate, also between a single run and three, where the standard deviations are equal."""
    draws = np.random.default_rng(0).normal(size=(4000, 5, 3)).tolist()
    covered = {1: 0, 3: 0}
    for first, *others in draws:
        samples = [summarize(runs) for runs in others]
        pooled = pool_std(samples)
        assert pooled
        for n in covered:
            covered[n] += contrast(summarize(first[:n]), samples[0], pooled).sign == 0
    assert [number / len(draws) for number in covered.values()] == pytest.approx([0.95, 0.95], abs=0.01)


def test_pooled_std_needs_a_network_with_two_runs():
    assert pool_std(map(summarize, ([90.0], [91.0]))) is None
    assert pool_std([]) is None
    assert pool_std(map(summarize, ([90.0, 90.0], [91.0]))) == PooledStd(0.0, 1)
    assert contrast(Sample(1, 91.0, None), Sample(2, 90.0, 0.0), PooledStd(0.0, 1)) == Difference(1.0)


def test_no_confidence_interval_for_a_single_run_or_zero_std():
    assert summarize([90.0]).std is None
    assert confidence_interval(summarize([90.0])) is None
    assert welch_of([91.0], [90.0, 90.5]) == Difference(1 - 0.25)
    assert confidence_interval(summarize([90.0, 90.0])) is None
    assert welch_of([91.0, 91.0], [90.0, 90.0]) == Difference(1.0)
    assert welch_of([91.0, 91.0], [90.0, 90.5]).low is not None  # one std is enough


def test_sign_is_zero_where_the_confidence_interval_includes_zero():
    assert [Difference(gap).sign for gap in (1.0, -1.0, 0.0, None)] == [1, -1, 0, 0]
    assert [Difference(1.0, low, 2.0).sign for low in (0.1, 0.0, -0.1)] == [1, 0, 0]
    assert Difference(-1.0, -2.0, -0.1).sign == -1


def test_holm_equals_calculation_by_hand():
    # Sorted: .01 x 4, .02 x 3, .03 x 2, .04 x 1, none below the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.2, 0.9, 0.5]) == pytest.approx([0.6, 1.0, 1.0])
    assert holm([None, 0.03, None, 0.01]) == [None, pytest.approx(0.03), None, pytest.approx(0.02)]
    assert holm([]) == []
    assert holm([None]) == [None]


@pytest.mark.parametrize("networks", [2, 15])
@pytest.mark.parametrize("n", [2, 3, 10, 50])
@pytest.mark.parametrize("effect", [0.01, 0.5, 1])
def test_power_equals_the_noncentral_t(effect, n, networks):
    freedom, shift = networks * (n - 1), effect * (n / 2) ** 0.5
    critical = scipy_stats.t.ppf(0.975, freedom)
    tails = scipy_stats.nct.sf(critical, freedom, shift) + scipy_stats.nct.cdf(-critical, freedom, shift)
    assert power(effect, n, networks) == pytest.approx(tails)


def test_power_equals_the_rate_of_detection_in_simulations():
    draws = np.random.default_rng(0).normal(size=(2, 20_000, 5))
    found = np.asarray(scipy_stats.ttest_ind(draws[0] + 1.5, draws[1], axis=1)[1]) < 0.05
    assert power(1.5, 5) == pytest.approx(found.mean(), abs=0.01)


@pytest.mark.parametrize(("effect", "seeds"), [(0.2, 394), (0.5, 64), (0.8, 26)])
def test_seeds_needed_equals_the_textbook(effect, seeds):
    """Cohen 1988, Table 2.4.1 (393, 64, 26 from its rounded effects; exact: 394)."""
    assert [seeds_needed(sign * effect, 1.0) for sign in (1, -1)] == [seeds] * 2


def test_seeds_needed_is_the_smallest_number_with_enough_power():
    for networks in (2, 15):
        first = next(n for n in count(2) if power(0.7 / 0.8, n, networks) >= 0.8)
        assert seeds_needed(0.7, 0.8, networks) == first
    assert seeds_needed(1.0, 0.5) == 6
    assert seeds_needed(1.0, 0.5, networks=15) == 5  # more degrees of freedom need fewer seeds
    assert seeds_needed(20.0, 0.1) == 2
    assert seeds_needed(1e-9, 1.0) == 1_000_000
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1.0, 0.0) is None
