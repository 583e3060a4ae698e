"""Rows of the table: their order, their statistics, the paper's values."""

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from math import sqrt
from statistics import pvariance

import pytest
from helpers import MAIN_PATH, run_command
from records import make_record, network, write_runs
from scipy import stats as scipy_stats

from modernet.analysis.notes import noise_note
from modernet.analysis.selection import select
from modernet.analysis.table import Row, build_rows
from modernet.config.search_path import add_config_dir
from modernet.record import Record


def power_by_scipy(effect: float, n: int, networks: int) -> float:
    freedom = networks * (n - 1)
    shift, critical = effect * sqrt(n / 2), scipy_stats.t.ppf(0.975, freedom)
    return float(scipy_stats.nct.sf(critical, freedom, shift) + scipy_stats.nct.cdf(-critical, freedom, shift))


def layout_of(row: Row, rows: Iterable[Row]) -> list[tuple[float, ...]]:
    """The accuracies of the rows over which the noise is pooled for this row."""
    return [other.top1s for other in rows if other.n and (other.is_published or not row.is_published)]


def test_statistics_of_rows_equal_scipys(runs):
    rows = {row.variant: row for row in build_rows(select(runs, "digits").records.values()) if not row.changes}
    compared = 0
    for row in rows.values():
        if row.top1_std:
            low, high = scipy_stats.t.interval(0.95, row.n - 1, row.top1, scipy_stats.sem(row.top1s))
            assert (row.top1_low, row.top1_high) == pytest.approx((low, high))
        layout = layout_of(row, rows.values())
        freedom = sum(len(top1s) - 1 for top1s in layout)
        std = sqrt(sum(len(top1s) * pvariance(top1s) for top1s in layout) / freedom)
        for name, of in (("difference", row.before), ("start_difference", row.start)):
            gap, low, high, p = (getattr(row, name + end) for end in ("", "_low", "_high", "_p"))
            if of not in rows or not rows[of].n or not row.n:
                assert (gap, low, high, p) == (None, None, None, None)
                continue
            assert gap == pytest.approx(sum(row.top1s) / row.n - sum(rows[of].top1s) / rows[of].n)
            error = std * sqrt(1 / row.n + 1 / rows[of].n)
            assert (low, high) == pytest.approx(scipy_stats.t.interval(0.95, freedom, gap, error))
            assert p == pytest.approx(2 * scipy_stats.t.sf(abs(gap) / error, freedom))
            compared += 1
            if name == "difference" and 0 < abs(gap / std) < 5:  # scipy's noncentral t is NaN for larger effects
                needed = next(n for n in count(2) if power_by_scipy(gap / std, n, len(layout)) >= 0.8)
                assert row.seeds_needed == needed
        if row.n:
            assert (row.difference_test, row.pooled_df) == ("pooled", 8)
            assert row.pooled_std == pytest.approx(std)
            of_three = [top1s for top1s in layout if len(top1s) > 2]
            assert row.brown_forsythe_p == pytest.approx(scipy_stats.levene(*of_three, center="median")[1])
            assert row.bartlett_p == pytest.approx(scipy_stats.bartlett(*of_three)[1])
    assert compared == 7 + 8  # neighbours, three of them kernel sizes with a single seed; all to the start


def test_a_row_with_a_single_seed_is_compared_with_the_noise_of_the_others():
    records = [make_record("kernel_size", 80.0 + seed, seed) for seed in range(3)]
    rows = {row.variant: row for row in build_rows([*records, make_record("gelu", 95.0)])}
    gelu = rows["gelu"]
    assert (gelu.n, gelu.top1_std, gelu.top1_low, gelu.pooled_std, gelu.pooled_df) == (1, None, None, 1.0, 2)
    half = scipy_stats.t.ppf(0.975, 2) * sqrt(1 + 1 / 3)
    assert (gelu.difference, gelu.difference_low) == pytest.approx((14.0, 14.0 - half))
    assert (gelu.brown_forsythe_p, gelu.bartlett_p) == (None, None)
    assert gelu.difference_holm == gelu.difference_p
    alone = {row.variant: row for row in build_rows([records[0], make_record("gelu", 95.0)])}["gelu"]
    assert (alone.difference, alone.difference_low, alone.difference_test) == (15.0, None, None)


NOISE = {0: -1.0, 1: 0.2, 2: 0.8}  # by seed


def records_of(noise_of_variant: dict[str, float]) -> list[Record]:
    """Three runs of each variant, a point apart, with NOISE times this factor."""
    return [
        make_record(variant.split("+")[0], 50.0 + number + factor * noise, seed, variant)
        for number, (variant, factor) in enumerate(noise_of_variant.items())
        for seed, noise in NOISE.items()
    ]


def test_statistics_of_the_roadmap_do_not_depend_on_variants():
    steps: dict[str, float] = dict.fromkeys(("move_up_depthwise", "kernel_size", "gelu"), 1.0)
    variants = {f"gelu+width={width}": 1.5 for width in (8, 16)}
    alone, beside = (
        {row.variant: row for row in build_rows(records_of(factors))} for factors in (steps, steps | variants)
    )
    unrelated = {"seed_correlation": None, "seed_p": None}  # these are of the whole group
    for step in steps:
        assert replace(beside[step], **unrelated) == replace(alone[step], **unrelated)
        assert beside[step].pooled_df == 6
    assert beside["gelu+width=8"].pooled_df == 10
    assert (beside["gelu+width=8"].pooled_std or 0) > (beside["gelu"].pooled_std or 0)


def test_differences_are_welchs_where_the_noise_of_the_layout_is_unequal():
    steps: dict[str, float] = dict.fromkeys(("move_up_depthwise", "kernel_size", "gelu", "fewer_activations"), 1.0)
    rows = {row.variant: row for row in build_rows(records_of(steps | {"gelu+act=relu": 40.0}))}
    assert {rows[step].difference_test for step in steps} == {"pooled"}
    variant = rows["gelu+act=relu"]
    assert variant.difference_test == "welch"
    assert (variant.bartlett_p or 1) < 0.01
    of_scipy = scipy_stats.ttest_ind(variant.top1s, rows["gelu"].top1s, equal_var=False)
    interval = of_scipy.confidence_interval(0.95)
    statistics = (variant.difference_low, variant.difference_high, variant.difference_p)
    assert statistics == pytest.approx((interval.low, interval.high, of_scipy[1]))
    text = noise_note(list(rows.values()))
    assert "Steps: pooled std 0.92 with 8 degrees of freedom, from 4 rows with std 0.92; tests of equal std: " in text
    assert re.search(r"Variants and side steps: 5 rows .* Bartlett p < 0\.001, so Welch's test is used\.", text)


def test_rows_have_the_correlation_of_runs_with_the_same_seed():
    rows = build_rows(records_of({"kernel_size": 1.0, "gelu": 1.1, "gelu+act=relu": 1.0}))
    run = [row for row in rows if row.n]
    assert all(row.seed_correlation is not None and row.seed_correlation > 0.99 for row in run)
    assert all(row.seed_p is not None and row.seed_p < 0.001 for row in run)
    assert {row.seed_correlation for row in rows if not row.n} == {None}
    assert "Correlation of runs with the same seed: 1.00 (p < 0.001)." in noise_note(rows)


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


def test_sign_is_that_of_a_difference_that_is_decided_after_correction():
    def sign(step: str, before: str, gain: float, spread: float = 0.1, n: int = 3) -> str | None:
        pairs = ((before, 80.0), (step, 80.0 + gain))
        rows = build_rows([make_record(name, top1 + seed * spread, seed) for name, top1 in pairs for seed in range(n)])
        return next(row.sign for row in rows if row.variant == step)

    assert sign("increase_width", "depthwise_conv", 1.0) == "agrees"  # the paper: +2.22 ± 0.08 and 0.02
    assert sign("increase_width", "depthwise_conv", -1.0) == "disagrees"
    assert sign("increase_width", "depthwise_conv", 1.0, spread=2.0) == "undecided"
    assert sign("increase_width", "depthwise_conv", 1.0, n=1) == "undecided"
    assert sign("increase_width", "depthwise_conv", 1.0, spread=0.0) == "undecided"
    assert sign("gelu", "kernel_size", 1.0) == "only ours"  # the paper: +0.05 ± 0.14 and 0.14
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


def test_a_single_step_has_no_rows_of_others():
    assert [row.variant for row in build_rows([make_record("convnext", 80.0, seed) for seed in (0, 1)])] == ["convnext"]


def test_published_steps_that_were_not_run_are_rows_of_n_0(runs):
    rows = build_rows(select(runs, "digits").records.values())
    assert [row.variant for row in rows if row.is_published and not row.changes] == MAIN_PATH
    assert {row.variant for row in rows if not row.n} == set(MAIN_PATH[5:7] + MAIN_PATH[8:])
    assert [row.variant for row in rows if row.changes] == ["kernel_size+recipe.epochs=3", "gelu+recipe.epochs=3"]


def test_side_steps_of_the_user_stand_behind_their_parent_once_they_are_run(tmp_path, config_dir):
    gains = {"kernel_size": 0, "gelu": 1, "wide": 2, "fewer_activations": 3}
    records = []
    for name, gain in gains.items():
        model = network("gelu") | {"width": 32} if name == "wide" else network(name)
        records += [
            make_record(name, 80.0 + gain + seed / 10, seed, config={"seed": seed, "model": model}) for seed in (0, 1)
        ]
    write_runs(tmp_path / "runs", *records)
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


def test_a_setting_that_some_rows_leave_to_its_fallback_is_mixed():
    def run(step: str, seed: int, **recipe):
        return make_record(step, 80.0 + seed, seed, config={"seed": seed, "recipe": recipe})

    records = [run("kernel_size", seed) for seed in range(3)]
    records += [run("gelu", seed, micro_batch_size=64) for seed in range(3)]
    rows = {row.variant: row for row in build_rows(records)}
    assert rows["gelu"].mixed_settings == "recipe.micro_batch_size"
    assert rows["gelu"].difference is None


def test_noise_of_rows_with_other_settings_is_described_apart():
    def run(step: str, seed: int, spread: float, **recipe):
        return make_record(step, 80.0 + spread * seed, seed, config={"seed": seed, "recipe": recipe})

    records = [run(step, seed, 0.1) for step in ("stage_ratio", "patchify_stem") for seed in range(3)]
    records += [run(step, seed, 1.0, lr=0.5) for step in ("kernel_size", "gelu", "convnext") for seed in range(3)]
    text = noise_note(build_rows(records))
    assert "Steps: pooled std 0.10 with 4 degrees of freedom, from 2 rows with std 0.10;" in text
    assert "Steps: pooled std 1.00 with 6 degrees of freedom, from 3 rows with std 1.00;" in text


def test_names_of_rows_lack_the_recipe_of_their_group_wherever_it_stands():
    (row,) = build_rows([make_record("move_up_depthwise", 80.0, 0, "move_up_depthwise+recipe=a3+kernel_size=5")])
    assert row.name == "move_up_depthwise+kernel_size=5"
