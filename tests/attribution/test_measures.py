"""The four measures of a known game, and their table, JSON and figure."""

import json
import re
from math import sqrt

import pytest
from plans import NO_RUNS, STEPS, finished_runs, game, plan_for
from scipy import stats as scipy_stats

from modernet.analysis.stats import Sample, welch
from modernet.attribution.design import (
    Budget,
    build_plan,
)
from modernet.attribution.formatting import load_attribution, to_json, to_markdown
from modernet.attribution.measures import MEASURES, build_attribution
from modernet.attribution.shapley import Coalition, prefixes
from modernet.config.names import step_name
from modernet.figures.attribution import plot_attribution
from modernet.figures.axes import NotEnoughRuns
from modernet.figures.svg import save_figure


def test_measures_of_a_known_game(end):
    """By hand: what each step adds alone, and the 2 points of the interaction."""
    plan = plan_for(end, pairs=2)
    rows = {row.step: row.contributions for row in build_attribution(plan, finished_runs(plan, game)).rows}
    assert list(rows) == STEPS
    for number, step in enumerate(STEPS):
        alone = pytest.approx(number / 10)
        if step not in ("depthwise_conv", "kernel_size"):
            assert [rows[step][measure].mean for measure in MEASURES] == [alone] * 4
    # The interaction counts for the later step in path, for both in leave-one-out, for none in add-one-in.
    assert [rows["depthwise_conv"][measure].mean for measure in MEASURES] == pytest.approx([0.2, 2.2, 0.2, 1.2])
    assert [rows["kernel_size"][measure].mean for measure in MEASURES] == pytest.approx([2.6, 2.6, 0.6, 1.6])
    assert all(rows["gelu"][measure].low is None for measure in ("path", "leave_one_out", "add_one_in"))


def test_confidence_intervals_of_single_differences_have_the_noise_of_all_networks(end):
    plan = plan_for(end, (0, 1, 2), 1)
    result = build_attribution(plan, finished_runs(plan, game))
    rows = {row.step: row.contributions for row in result.rows}
    # std 0.7 with gelu, otherwise 0.3, each with 2 degrees of freedom
    with_gelu = sum("gelu" in coalition for coalition in plan.distinct.values())
    networks = len(plan.distinct)
    std = sqrt((with_gelu * 0.7**2 + (networks - with_gelu) * 0.3**2) / networks)
    low, high = scipy_stats.t.interval(0.95, 2 * networks, 1.1, std * sqrt(2 / 3))
    gain = rows["gelu"]["path"]
    assert (gain.mean, gain.low, gain.high) == pytest.approx((1.1, low, high))
    note = (
        f"pooled over all {networks} networks: {std:.2f} with {2 * networks} degrees of freedom (tests of equal std: "
    )
    text = to_markdown(result)
    assert note in text
    assert re.search(r"Correlation of runs with the same seed: 0\.\d\d \(p < 0\.001\); they are not paired\.", text)


def test_confidence_intervals_of_single_differences_are_welchs_where_the_noise_is_unequal(end):
    def noisy_game(coalition: Coalition, seed: int) -> float:
        return game(coalition) + seed * (10.0 if "gelu" in coalition else 0.3)

    plan = plan_for(end, (0, 1, 2), 1)
    result = build_attribution(plan, finished_runs(plan, noisy_game))
    [gain] = [row.contributions["path"] for row in result.rows if row.step == "gelu"]
    expected = welch(Sample(3, gain.mean or 0, 10.0), Sample(3, 0.0, 0.3))
    assert (gain.low, gain.high) == pytest.approx((expected.low, expected.high))
    assert "path, leave-one-out and add-one-in: by Welch's test, because the std of the networks is unequal" in (
        to_markdown(result)
    )


def test_contributions_that_change_the_cost_are_marked(end):
    plan = plan_for(end, pairs=1)
    rows = {row.step: row.contributions for row in build_attribution(plan, finished_runs(plan, game)).rows}
    assert {step for step in STEPS if any(gain.changes_cost for gain in rows[step].values())} == {"increase_width"}
    assert rows["increase_width"]["shapley"].gmacs == pytest.approx(24 / 16)
    assert rows["increase_width"]["add_one_in"].gmacs == 24 / 16
    assert rows["gelu"]["shapley"].gmacs == pytest.approx(1)


def test_a_step_without_effect_reuses_runs_and_adds_zero(end):
    """An override keeps its value, so the step of this field changes nothing."""
    plan = plan_for(end, (0, 1), 2, kernel_size=9)
    plain = plan_for(end, (0, 1), 2)
    assert len(plan.distinct) < len(plan.networks) == len(plain.networks) == len(plain.distinct)
    order = ("kernel_size", *(step for step in STEPS if step != "kernel_size"))  # as the path, from its second step on
    costed = build_plan(plan.design, [(order, order[::-1])], Budget(999, "runs", lambda network: 2), NO_RUNS)
    assert costed.spent == 2 * len(costed.distinct)
    gains = {row.step: row.contributions for row in build_attribution(plan, finished_runs(plan, game)).rows}[
        "kernel_size"
    ]
    assert [(gains[m].mean, gains[m].low, gains[m].high) for m in MEASURES] == [(0, 0, 0)] * 4


def test_missing_runs_affect_only_the_measures_that_need_them(end):
    plan = plan_for(end, (0, 1), 2)
    runs = finished_runs(plan, game)
    of_second_pair = prefixes(plan.pairs[1][0])[5]
    del runs.done[plan.design.runs(plan.networks[of_second_pair])[1].hash]
    result = build_attribution(plan, runs)
    assert result.pairs == plan.pairs[:1]
    assert [[run.seed for run in missing] for missing in plan.missing(runs).values()] == [[1]]
    assert {row.contributions["shapley"].mean is not None for row in result.rows} == {True}
    assert "1 of 2 pairs of orders are omitted" in to_markdown(result)
    gelu = plan.design.runs(plan.networks[plan.design.all_steps - {"gelu"}])[0].hash
    del runs.done[gelu]
    gains = {row.step: row.contributions for row in build_attribution(plan, runs).rows}
    assert gains["gelu"]["leave_one_out"].mean is None
    assert gains["gelu"]["add_one_in"].mean == pytest.approx(0.7 + 0.2)


def test_markdown_and_json_hold_the_same_values(end, tmp_path):
    plan = plan_for(end, (0, 1), 2)
    result = build_attribution(plan, finished_runs(plan, game))
    text, values = to_markdown(result), json.loads(to_json(result))
    (tmp_path / "attribution.json").write_text(to_json(result))
    written = load_attribution(tmp_path / "attribution.json")
    assert written.rows == result.rows
    assert (written.orders, written.runs, written.seeds) == (4, 2 * len(plan.distinct), [0, 1])
    row = values["steps"][STEPS.index("gelu")]
    cell = f"{row['shapley']['mean']:+.2f} [{row['shapley']['low']:+.2f}, {row['shapley']['high']:+.2f}]"
    line = next(line for line in text.splitlines() if line.startswith("| gelu"))
    assert cell in line
    gained = game(plan.design.all_steps) - game(frozenset()) + (0.7 - 0.3) / 2
    sums = [cell.strip() for cell in next(line for line in text.splitlines() if line.startswith("| sum")).split("|")]
    assert sums[2] == sums[5] == f"{gained:+.2f}"
    assert [order[::-1] for order in values["orders"][::2]] == values["orders"][1::2]
    assert values["combinations"][0] == {"steps": [], "top1": [70, 70.3], "gmacs": 0.016, "params": 1000}
    assert values["runs"] == 2 * len(plan.distinct)
    assert values["train_hours"] == pytest.approx(values["runs"] * 3 / 3600)  # 3 seconds each
    assert "2 pairs are few" in text
    assert "| start " in text


@pytest.mark.parametrize(
    ("seeds", "pairs", "sentence"),
    [
        ((0,), 0, "leave-one-out and add-one-in have no confidence interval. No order is complete"),
        ((0,), 1, "With one pair and one seed, they have no confidence interval."),
        ((0, 1), 1, "bootstrap over seeds. One pair cannot show"),
        ((0,), 2, "bootstrap over pairs of orders. They do not cover the noise of the single runs"),
        ((0, 1), 2, "bootstrap over seeds and pairs of orders. 2 pairs are few"),
        ((0, 1), 10, "bootstrap over seeds and pairs of orders.\n"),
    ],
)
def test_notes_explain_the_confidence_intervals(end, seeds, pairs, sentence):
    plan = plan_for(end, seeds, pairs)
    assert sentence in to_markdown(build_attribution(plan, finished_runs(plan, game)))


def test_figure_has_every_step_and_is_deterministic(end, tmp_path):
    plan = plan_for(end, (0, 1), 1)
    rows = build_attribution(plan, finished_runs(plan, game)).rows
    svg, png, _ = save_figure(plot_attribution(rows, "title"), tmp_path / "once")
    again, *_ = save_figure(plot_attribution(rows, "title"), tmp_path / "again")
    assert svg.read_bytes() == again.read_bytes()
    assert all(f">{text}<" in svg.read_text() for text in [*map(step_name, STEPS), *MEASURES.values()])
    assert png.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(NotEnoughRuns):
        plot_attribution(build_attribution(plan_for(end), NO_RUNS).rows, "title")
