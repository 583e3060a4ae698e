"""Designs and plans: their networks and runs, the budget, the runs that are missing."""

from dataclasses import replace

import pytest
from helpers import compose
from plans import STEPS, finished_runs, game, gmacs, plan_for, record_of
from records import write_runs

from modernet.attribution.design import (
    AttributionDesign,
    AttributionPlan,
    Budget,
    build_time_model,
    load_runs,
)
from modernet.attribution.shapley import antithetic_pairs, prefixes
from modernet.errors import UserError


def test_players_are_the_steps_that_change_the_network(end):
    design = AttributionDesign(end, "convnext", (0,))
    assert list(design.players) == STEPS
    assert design.describe(frozenset()) == "start"
    assert design.describe(design.all_steps) == "end"
    assert design.describe(frozenset({"gelu", "stage_ratio"})) == "start with stage_ratio, gelu"
    assert design.describe(design.all_steps - {"gelu"}) == "end without gelu"


@pytest.mark.parametrize(
    "overrides",
    [
        ["protocol=digits"],
        ["protocol=digits", "recipe.epochs=3", "model.kernel_size=9", "data.split=train/val"],
        ["protocol=imagenet", "size=b"],
    ],
)
def test_runs_of_a_coalition_have_the_hashes_of_ablate(overrides):
    design = AttributionDesign(compose("+step=convnext", *overrides), "convnext", (0, 3))
    order, reverse = next(antithetic_pairs(design.players))
    for coalition in [*prefixes(order)[::5], *prefixes(reverse)[2::5]]:
        removed = [step for step in STEPS if step not in coalition]
        experiment = compose("+step=convnext", *overrides, f"ablate=[{','.join(removed)}]", "seed=3")
        hashes = [replace(experiment, seed=seed).hash for seed in design.seeds]
        assert [run.hash for run in design.runs(design.network(coalition))] == hashes


def test_runs_of_start_and_path_are_those_of_the_roadmap(end):
    design = AttributionDesign(end, "convnext", (1,))
    names = ["modern_recipe", *STEPS]
    hashes = [design.runs(design.network(prefix))[0].hash for prefix in prefixes(design.players)]
    assert hashes == [compose(f"+step={name}", "protocol=digits", "seed=1").hash for name in names]


def test_budget_in_runs_limits_the_pairs_of_orders(end):
    def affordable(runs: int) -> AttributionPlan:
        return plan_for(end, (0, 1, 2), 99, Budget(runs, "runs", lambda network: 3))

    # 14 networks on the path, 12 more lack one step, 12 more have one: 38, times 3 seeds.
    with pytest.raises(UserError, match="take 114 runs, which exceeds the budget of 113"):
        affordable(113)
    # A pair adds 22 coalitions at most; the first and last steps of both orders are among the 38 already.
    plans = [affordable(runs) for runs in (114, 173, 174, 200)]
    assert [(len(plan.pairs), plan.spent, plan.next_cost) for plan in plans] == [
        (0, 114, 60),
        (0, 114, 60),
        (1, 174, 60),
        (1, 174, 60),
    ]
    more = affordable(400)
    assert len(more.distinct) * 3 == more.spent <= 400 < more.spent + (more.next_cost or 0)
    assert more.pairs[:1] == affordable(200).pairs  # a larger budget extends a smaller one
    assert len(plan_for(end, pairs=7).pairs) == 7


def test_finished_pairs_are_added_regardless_of_the_budget(end):
    runs = finished_runs(plan_for(end, pairs=3), game)
    assert len(plan_for(end, pairs=99, budget=Budget(40, "runs", lambda network: 1), runs=runs).pairs) == 3


def test_time_model_uses_measured_seconds_or_gmacs(end):
    networks = list(plan_for(end).distinct)
    narrow, wide = (next(one for one in networks if one.width == width) for width in (end.model.width, 16))
    records = [
        record_of(replace(end, model=narrow, seed=seed), 90.0, train_seconds=seconds)
        for seed, seconds in enumerate((10.0, 14.0))
    ]
    other_recipe = replace(end, recipe=replace(end.recipe, epochs=99))
    seconds = build_time_model([*records, record_of(other_recipe, 90.0, train_seconds=1e6)], end, gmacs)
    assert seconds(narrow) == 12
    assert seconds(wide) == pytest.approx(12 * 16 / end.model.width)
    with pytest.raises(UserError, match="finish one, or give the budget as --runs"):
        build_time_model([record_of(other_recipe, 90.0)], end, gmacs)


def test_records_that_cannot_be_used_are_reported(end, tmp_path):
    _, repeated, without_top1, failed, damaged = write_runs(
        tmp_path,
        record_of(end, 90.0),
        record_of(end, 90.0),
        record_of(replace(end, seed=1), None),
        record_of(replace(end, seed=2), None, status="failed"),
        record_of(replace(end, seed=3), 90.0),
    )
    damaged.write_text("{")
    runs = load_runs(tmp_path)
    assert [record.top1 for record in runs.done.values()] == [90.0]
    assert runs.failed == {replace(end, seed=2).hash: failed}
    excluded = [damaged, repeated, without_top1]
    assert [line.split(":")[0] for line in runs.excluded] == list(map(str, excluded))


def test_records_of_one_run_that_disagree_are_an_error(end, tmp_path):
    write_runs(tmp_path, record_of(end, 90.0), record_of(end, 91.0))
    with pytest.raises(UserError, match=r"0/record.json has top-1 90 and .*1/record.json has top-1 91; delete"):
        load_runs(tmp_path)
