"""Statistics equal those of scipy.stats and of calculations by hand."""

import statistics
from itertools import count

import numpy as np
import pytest
from scipy import stats as scipy_stats

from modernet.analysis.stats import (
    Difference,
    Sample,
    confidence_interval,
    difference,
    holm,
    power,
    sample_std,
    seeds_needed,
    summarize,
    welch,
)

AFTER, BEFORE = [92.0, 93.0, 94.5], [90.0, 91.0, 92.0, 90.5]


def test_confidence_interval_of_a_mean_is_students():
    # By hand: t of 3 degrees of freedom is 3.182; std 0.854, n 4.
    assert confidence_interval(summarize(BEFORE)) == pytest.approx((90.875 - 1.3587, 90.875 + 1.3587), abs=1e-3)
    expected = scipy_stats.t.interval(0.95, 2, statistics.mean(AFTER), scipy_stats.sem(AFTER))
    assert confidence_interval(summarize(AFTER)) == pytest.approx(expected)


def test_difference_has_welchs_confidence_interval_and_p_value():
    result = difference(AFTER, BEFORE)
    # Welch-Satterthwaite by hand
    a, b = (statistics.variance(values) / len(values) for values in (AFTER, BEFORE))
    freedom = (a + b) ** 2 / (a**2 / 2 + b**2 / 3)
    half = scipy_stats.t.ppf(0.975, freedom) * (a + b) ** 0.5
    gap = statistics.mean(AFTER) - statistics.mean(BEFORE)
    assert (result.mean, result.low, result.high) == pytest.approx((gap, gap - half, gap + half))
    of_scipy = scipy_stats.ttest_ind(AFTER, BEFORE, equal_var=False)
    assert result.p == pytest.approx(of_scipy[1])
    assert difference(BEFORE, AFTER) == Difference(-gap, -result.high, -result.low, result.p)  # pyright: ignore


@pytest.mark.parametrize("seed", range(20))
def test_welch_equals_scipy_on_random_samples(seed):
    draw = np.random.default_rng(seed)
    after, before = (draw.normal(70, 10.0 ** draw.integers(-3, 2), draw.integers(2, 9)) for _ in range(2))
    result, of_scipy = (
        difference(after.tolist(), before.tolist()),
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


def test_no_confidence_interval_for_a_single_run_or_zero_std():
    assert sample_std([90.0]) is None
    assert confidence_interval(summarize([90.0])) is None
    assert difference([91.0], [90.0, 90.5]) == Difference(1 - 0.25)
    assert confidence_interval(summarize([90.0, 90.0])) is None
    assert difference([91.0, 91.0], [90.0, 90.0]) == Difference(1.0)
    assert difference([91.0, 91.0], [90.0, 90.5]).low is not None  # one std is enough


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


@pytest.mark.parametrize("n", [2, 3, 10, 50])
@pytest.mark.parametrize("effect", [0.01, 0.5, 1])
def test_power_equals_the_noncentral_t(effect, n):
    freedom, shift = 2 * n - 2, effect * (n / 2) ** 0.5
    critical = scipy_stats.t.ppf(0.975, freedom)
    tails = scipy_stats.nct.sf(critical, freedom, shift) + scipy_stats.nct.cdf(-critical, freedom, shift)
    assert power(effect, n) == pytest.approx(tails)


def test_power_equals_the_rate_of_detection_in_simulations():
    draws = np.random.default_rng(0).normal(size=(2, 20_000, 5))
    found = np.asarray(scipy_stats.ttest_ind(draws[0] + 1.5, draws[1], axis=1)[1]) < 0.05
    assert power(1.5, 5) == pytest.approx(found.mean(), abs=0.01)


@pytest.mark.parametrize(("effect", "seeds"), [(0.2, 394), (0.5, 64), (0.8, 26)])
def test_seeds_needed_equals_the_textbook(effect, seeds):
    """Cohen 1988, Table 2.4.1 (393, 64, 26 from its rounded effects; exact: 394)."""
    assert seeds_needed(Sample(3, 70 + effect, 1.0), Sample(3, 70.0, 1.0)) == seeds
    assert seeds_needed(Sample(3, 70 - effect, 1.0), Sample(3, 70.0, 1.0)) == seeds


def test_seeds_needed_is_the_smallest_number_with_enough_power():
    pooled = ((2 * 0.5**2 + 4 * 0.9**2) / 6) ** 0.5
    first = next(n for n in count(2) if power(0.7 / pooled, n) >= 0.8)
    assert seeds_needed(Sample(3, 70.7, 0.5), Sample(5, 70.0, 0.9)) == first
    assert seeds_needed(Sample(3, 90.0, 0.1), Sample(3, 70.0, 0.1)) == 2
    assert seeds_needed(Sample(3, 70 + 1e-9, 1.0), Sample(3, 70.0, 1.0)) == 1_000_000
    assert seeds_needed(Sample(3, 70.0, 1.0), Sample(3, 70.0, 1.0)) is None
    assert seeds_needed(Sample(1, 71.0, None), Sample(3, 70.0, 1.0)) is None
    assert seeds_needed(Sample(3, 71.0, 0.0), Sample(3, 70.0, 0.0)) is None
