"""Rows of the table: their order, their statistics, the paper's values."""

from itertools import count
from math import sqrt
from statistics import pvariance

import pytest
from helpers import MAIN_PATH, run_command
from records import make_record
from scipy import stats as scipy_stats

from modernet.analysis.selection import select
from modernet.analysis.table import build_rows
from modernet.config.search_path import add_config_dir
from modernet.record import write_record


def power_by_scipy(effect: float, n: int) -> float:
    shift, critical = effect * sqrt(n / 2), scipy_stats.t.ppf(0.975, 2 * n - 2)
    return float(scipy_stats.nct.sf(critical, 2 * n - 2, shift) + scipy_stats.nct.cdf(-critical, 2 * n - 2, shift))


@pytest.mark.filterwarnings("ignore:Precision loss")  # scipy's, where one side has no spread
def test_statistics_of_rows_equal_scipys(runs):
    rows = {row.variant: row for row in build_rows(select(runs, "digits").records.values())}
    compared = 0
    for row in rows.values():
        if row.n > 1 and row.top1_std:
            low, high = scipy_stats.t.interval(0.95, row.n - 1, row.top1, scipy_stats.sem(row.top1s))
            assert (row.top1_low, row.top1_high) == pytest.approx((low, high))
        for name, of in (("difference", row.before), ("start_difference", row.start)):
            gap, low, high, p = (getattr(row, name + end) for end in ("", "_low", "_high", "_p"))
            if of not in rows or not rows[of].n or not row.n:
                assert (gap, low, high, p) == (None, None, None, None)
                continue
            after, before = row.top1s, rows[of].top1s
            assert gap == pytest.approx(sum(after) / len(after) - sum(before) / len(before))
            if min(len(after), len(before)) < 2 or not (row.top1_std or rows[of].top1_std):
                assert (low, high, p) == (None, None, None)
                continue
            welch = scipy_stats.ttest_ind(after, before, equal_var=False)
            interval = welch.confidence_interval(0.95)
            assert (low, high, p) == pytest.approx((interval.low, interval.high, welch[1]))
            compared += 1
            if name == "difference":
                squares = sum(len(values) * pvariance(values) for values in (after, before))
                pooled = sqrt(squares / (len(after) + len(before) - 2))
                assert row.seeds_needed == next(n for n in count(2) if power_by_scipy(gap / pooled, n) >= 0.8)
    assert compared == 3 + 4  # neighbours, and all to the start


def test_p_values_are_corrected_in_four_families():
    gains = {"resnet50": 0, "modern_recipe": 2, "stage_ratio": 2.5, "gelu": 3}
    gains |= {"gelu+act=relu": 5, "gelu+width=8": 3.2}
    records = [
        make_record(variant.split("+")[0], 80.0 + gain + seed, seed, variant)
        for variant, gain in gains.items()
        for seed in range(3)
    ]
    rows = {row.variant: row for row in build_rows(records) if row.n}
    for name, families in (
        ("difference", [["modern_recipe", "stage_ratio"], ["gelu+act=relu", "gelu+width=8"]]),
        ("start_difference", [["modern_recipe", "stage_ratio", "gelu"], ["gelu+act=relu", "gelu+width=8"]]),
    ):
        for family in families:
            plain = sorted(getattr(rows[variant], f"{name}_p") for variant in family)
            corrected = sorted(getattr(rows[variant], f"{name}_holm") for variant in family)
            assert corrected[0] == pytest.approx(min(1, plain[0] * len(family)))
            assert corrected[-1] == pytest.approx(max(plain[-1], corrected[-2]))
    assert rows["gelu"].difference_holm is None  # kernel_size was not run


def test_sign_is_unclear_unless_both_confidence_intervals_exclude_zero():
    def sign(step: str, before: str, gain: float, spread: float = 0.1, n: int = 3) -> str | None:
        pairs = ((before, 80.0), (step, 80.0 + gain))
        rows = build_rows([make_record(name, top1 + seed * spread, seed) for name, top1 in pairs for seed in range(n)])
        return next(row.sign for row in rows if row.variant == step)

    assert sign("increase_width", "depthwise_conv", 1.0) == "agrees"  # the paper: +2.22 ± 0.08 and 0.02
    assert sign("increase_width", "depthwise_conv", -1.0) == "disagrees"
    assert sign("increase_width", "depthwise_conv", 1.0, spread=2.0) == "unclear"
    assert sign("increase_width", "depthwise_conv", 1.0, n=1) == "unclear"
    assert sign("increase_width", "depthwise_conv", 1.0, spread=0.0) == "unclear"
    assert sign("gelu", "kernel_size", 1.0) == "unclear"  # the paper: +0.05 ± 0.14 and 0.14
    assert sign("modern_recipe", "resnet50", 1.0) == "agrees"  # the paper prints no std of the start
    assert sign("convnext", "separate_downsampling", 1.0) is None  # no row of the paper's


def test_paper_values_are_those_of_the_size_or_of_size_t():
    rows = {size: build_rows([make_record("gelu", 80.0, size=size)]) for size in ("t", "b", "micro")}
    assert {size: {row.paper_size for row in of} for size, of in rows.items()} == {
        "t": {"t"},
        "b": {"b"},
        "micro": {"t"},
    }
    gelu = {size: next(row for row in of if row.variant == "gelu") for size, of in rows.items()}
    assert [gelu[size].paper_top1 for size in ("t", "b", "micro")] == [80.62, 82.19, 80.62]
    # Welch by hand: 0.14 over three seeds each, so 4 degrees of freedom, whose t is 2.776.
    half = 2.776 * (2 * 0.14**2 / 3) ** 0.5
    assert gelu["t"].paper_difference_low == pytest.approx(80.62 - 80.57 - half, abs=1e-3)
    assert gelu["t"].paper_difference_high == pytest.approx(80.62 - 80.57 + half, abs=1e-3)
    assert gelu["b"].paper_difference == pytest.approx(82.19 - 82.30)
    assert gelu["b"].paper_difference_low is None  # one seed each


def test_published_steps_that_were_not_run_are_rows_of_n_0(runs):
    rows = build_rows(select(runs, "digits").records.values())
    assert [row.variant for row in rows if row.is_published and not row.changes] == MAIN_PATH
    assert {row.variant for row in rows if not row.n} == set(MAIN_PATH[5:7] + MAIN_PATH[8:])
    assert [row.variant for row in rows if row.changes] == ["kernel_size+recipe.epochs=3", "gelu+recipe.epochs=3"]


def test_side_steps_of_the_user_stand_behind_their_parent_once_they_are_run(tmp_path, config_dir):
    gains = {"kernel_size": 0, "gelu": 1, "wide": 2, "fewer_activations": 3}
    for number, (name, gain) in enumerate(gains.items()):
        for seed in (0, 1):
            folder = tmp_path / f"runs/{number}-{seed}"
            folder.mkdir(parents=True)
            write_record(folder, make_record(name, 80.0 + gain + seed / 10, seed))
    result = run_command("table", tmp_path / "runs", "--csv")
    assert "there is no step 'wide' here" in result.stderr  # without --config-dir
    result = run_command("table", tmp_path / "runs", "--config-dir", config_dir)
    assert (result.returncode, result.stderr) == (0, "")
    order = MAIN_PATH.copy()
    order.insert(order.index("gelu") + 1, "wide")
    shown = [line.split("|")[1].strip() for line in result.stdout.splitlines() if line.startswith("| ")]
    assert shown[1 : len(order) + 1] == order  # `deep` was not run
    add_config_dir(config_dir)
    rows = {row.variant: row for row in build_rows(select(tmp_path / "runs").records.values())}
    assert (rows["wide"].before, rows["fewer_activations"].before) == ("gelu", "gelu")
    # The family of the published steps has two tests, with and without the side step.
    smallest_p = rows["fewer_activations"].difference_p
    assert smallest_p is not None
    assert rows["fewer_activations"].difference_holm == pytest.approx(2 * smallest_p)
    assert rows["wide"].difference_holm == rows["wide"].difference_p
