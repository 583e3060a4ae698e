"""From combinations of steps to what each adds: the plan, its budget, the numbers and their report."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import hydra
import pytest
from helpers import ROOT, run_script
from hydra import initialize_config_dir
from helpers import MAIN_PATH
from test_table import made

from modernet import record
from modernet.attribution.measures import MEASURES, attribution, markdown, read, to_json
from modernet.figures.attribution import figure
from modernet.attribution.design import Budget, Found, Plan, Study, find, plan, seconds_per_run
from modernet.errors import UserError
from modernet.config.experiment import Experiment, from_config
from modernet.record import Record
from modernet.attribution.shapley import Coalition, antithetic, prefixes
from modernet.config.schema import ModelConfig
from modernet.analysis.stats import difference
from modernet.figures.style import save

NOTHING = Found({}, {}, [])
STEPS = MAIN_PATH[2:]


@pytest.fixture(scope="module")
def compose():
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        yield lambda *overrides: from_config(hydra.compose("config", [*map(str, overrides)]))


@pytest.fixture(scope="module")
def end(compose) -> Experiment:
    return compose("+step=convnext", "protocol=digits")


def planned(end: Experiment, seeds=(0,), pairs=0, budget=None, found=NOTHING, **changes) -> Plan:
    study = Study(replace(end, model=replace(end.model, **changes)), seeds)
    return plan(study, islice(antithetic(study.players), pairs), budget or Budget(), found)


def gmacs(network: ModelConfig) -> float:
    """As if width alone decided."""
    return network.width / 1000


def result_of(experiment: Experiment, top1: float | None, **changes: Any) -> Record:
    """A record of this experiment, with this result."""
    one = made(experiment.step, 0.0, experiment.seed, protocol=experiment.protocol, config=experiment.config)
    return replace(one, top1=top1, gmacs=gmacs(experiment.model), params=1000, **changes)


def measured(wanted: Plan, game: Callable[[Coalition, int], float]) -> Found:
    """Every run of a plan done, with game(coalition, seed) as its top-1."""
    runs = [
        (one, game(coalition, one.seed))
        for network, coalition in wanted.distinct.items()
        for one in wanted.study.runs(network)
    ]
    return Found({one.hash: result_of(one, top1) for one, top1 in runs}, {}, [])


def game(coalition: Coalition, seed: int = 0) -> float:
    """Step n adds n / 10, depthwise_conv and kernel_size together 2; a seed 0.3, with gelu 0.7."""
    alone = sum(STEPS.index(step) / 10 for step in coalition)
    return (
        70 + alone + 2 * ({"depthwise_conv", "kernel_size"} <= coalition) + seed * (0.7 if "gelu" in coalition else 0.3)
    )


def test_the_players_are_the_steps_that_change_the_network(end):
    study = Study(end, (0,))
    assert list(study.players) == STEPS
    assert study.shown(frozenset()) == "start"
    assert study.shown(study.everyone) == "end"
    assert study.shown(frozenset({"gelu", "stage_ratio"})) == "start with stage_ratio, gelu"
    assert study.shown(study.everyone - {"gelu"}) == "end without gelu"


@pytest.mark.parametrize(
    "overrides",
    [
        ["protocol=digits"],
        ["protocol=digits", "recipe.epochs=1", "model.kernel_size=9", "data.split=train/val"],
        ["protocol=imagenet", "size=b"],
    ],
)
def test_a_coalition_is_the_run_that_train_py_would_find(compose, overrides):
    study = Study(compose("+step=convnext", *overrides), (0, 3))
    order, reverse = next(antithetic(study.players))
    for coalition in [*prefixes(order)[::3], *prefixes(reverse)[::4]]:
        without = [step for step in STEPS if step not in coalition]
        by_hand = [compose("+step=convnext", *overrides, f"ablate=[{','.join(without)}]", f"seed={n}") for n in (0, 3)]
        assert [one.hash for one in study.runs(study.network(coalition))] == [one.hash for one in by_hand]


def test_start_and_path_are_the_roadmaps_own_runs(compose, end):
    study = Study(end, (1,))
    names = ["modern_recipe", *STEPS]
    hashes = [study.runs(study.network(prefix))[0].hash for prefix in prefixes(study.players)]
    assert hashes == [compose(f"+step={name}", "protocol=digits", "seed=1").hash for name in names]


def test_a_budget_in_runs_buys_pairs_of_orders(end):
    def bought(runs: int) -> Plan:
        return planned(end, (0, 1, 2), 99, Budget(runs, "runs", lambda network: 3))

    # 14 networks on the path, 12 more lack one step, 12 more have one: 38, times 3 seeds.
    with pytest.raises(UserError, match="take 114 runs, more than the 113 allowed"):
        bought(113)
    # A pair passes 22 other coalitions; the first and last steps of both orders are among the 38 already.
    assert [(len(bought(runs).pairs), bought(runs).spent, bought(runs).beyond) for runs in (114, 173, 174, 200)] == [
        (0, 114, 60),
        (0, 114, 60),
        (1, 174, 60),
        (1, 174, 60),
    ]
    more = bought(400)
    assert len(more.distinct) * 3 == more.spent <= 400 < more.spent + (more.beyond or 0)
    assert more.pairs[:1] == bought(200).pairs  # a larger budget goes on where a smaller one ended
    assert len(planned(end, pairs=7).pairs) == 7


def test_what_is_done_already_is_taken_whatever_the_budget(end):
    found = measured(planned(end, pairs=3), game)
    assert len(planned(end, pairs=99, budget=Budget(40, "runs", lambda network: 1), found=found).pairs) == 3


def test_time_is_what_was_measured_or_goes_with_gmacs(end):
    networks = list(planned(end).distinct)
    narrow, wide = (next(one for one in networks if one.width == width) for width in (end.model.width, 16))
    records = [
        result_of(replace(end, model=narrow, seed=seed), 90.0, train_seconds=seconds)
        for seed, seconds in enumerate((10.0, 14.0))
    ]
    other_recipe = replace(end, recipe=replace(end.recipe, epochs=99))
    seconds = seconds_per_run([*records, result_of(other_recipe, 90.0, train_seconds=1e6)], end, gmacs)
    assert seconds(narrow) == 12
    assert seconds(wide) == pytest.approx(12 * 16 / end.model.width)
    with pytest.raises(UserError, match="--runs, which does not need it"):
        seconds_per_run([result_of(other_recipe, 90.0)], end, gmacs)


def test_the_four_measures_are_these(end):
    """By hand: what a step adds alone, and the 2 points that two of them add together."""
    wanted = planned(end, pairs=2)
    rows = {row.step: row.gains for row in attribution(wanted, measured(wanted, game)).rows}
    assert list(rows) == STEPS
    for number, step in enumerate(STEPS):
        alone = pytest.approx(number / 10)
        if step not in ("depthwise_conv", "kernel_size"):
            assert [rows[step][measure].mean for measure in MEASURES] == [alone] * 4
    # path: the second of the two gets it all; leave-one-out: either; add-one-in: neither; Shapley: each a half
    assert [rows["depthwise_conv"][measure].mean for measure in MEASURES] == pytest.approx([0.2, 2.2, 0.2, 1.2])
    assert [rows["kernel_size"][measure].mean for measure in MEASURES] == pytest.approx([2.6, 2.6, 0.6, 1.6])
    assert all(rows["gelu"][measure].low is None for measure in ("path", "leave_one_out", "add_one_in"))


def test_intervals_of_single_differences_are_the_tables(end):
    wanted = planned(end, (0, 1, 2), 1)
    rows = {row.step: row.gains for row in attribution(wanted, measured(wanted, game)).rows}
    before = 70 + sum(range(7)) / 10 + 2
    expected = difference(
        [before + 0.7 + 0.7 * seed for seed in (0, 1, 2)], [before + 0.3 * seed for seed in (0, 1, 2)]
    )
    gain = rows["gelu"]["path"]
    assert (gain.mean, gain.low, gain.high) == pytest.approx((1.1, expected.low, expected.high))


def test_costs_are_beside_and_what_changes_them_much_is_marked(end):
    wanted = planned(end, pairs=1)
    rows = {row.step: row.gains for row in attribution(wanted, measured(wanted, game)).rows}
    assert {step for step in STEPS if any(gain.costly for gain in rows[step].values())} == {"increase_width"}
    assert rows["increase_width"]["shapley"].gmacs == pytest.approx(24 / 16)
    assert rows["increase_width"]["add_one_in"].gmacs == 24 / 16
    assert rows["gelu"]["shapley"].gmacs == pytest.approx(1)


def test_a_step_that_changes_nothing_shares_runs_and_adds_nothing(end):
    """An override of a field stays, so that this step has nothing to change."""
    wanted = planned(end, (0, 1), 2, kernel_size=9)
    plain = planned(end, (0, 1), 2)
    assert len(wanted.distinct) < len(wanted.networks) == len(plain.networks) == len(plain.distinct)
    order = ("kernel_size", *(step for step in STEPS if step != "kernel_size"))  # as the path, from its second step on
    priced = plan(wanted.study, [(order, order[::-1])], Budget(999, "runs", lambda network: 2), NOTHING)
    assert priced.spent == 2 * len(priced.distinct)
    gains = {row.step: row.gains for row in attribution(wanted, measured(wanted, game)).rows}["kernel_size"]
    assert [(gains[m].mean, gains[m].low, gains[m].high) for m in MEASURES] == [(0, 0, 0)] * 4


def test_missing_runs_leave_out_what_needs_them_and_no_more(end):
    wanted = planned(end, (0, 1), 2)
    found = measured(wanted, game)
    gone = prefixes(wanted.pairs[1][0])[5]
    del found.done[wanted.study.runs(wanted.networks[gone])[1].hash]
    result = attribution(wanted, found)
    assert result.pairs == wanted.pairs[:1]
    assert [[one.seed for one in runs] for runs in wanted.missing(found).values()] == [[1]]
    assert {row.gains["shapley"].mean is not None for row in result.rows} == {True}
    assert "1 of 2 pairs of orders are left out" in markdown(result)
    gelu = wanted.study.runs(wanted.networks[wanted.study.everyone - {"gelu"}])[0].hash
    del found.done[gelu]
    gains = {row.step: row.gains for row in attribution(wanted, found).rows}
    assert gains["gelu"]["leave_one_out"].mean is None
    assert gains["gelu"]["add_one_in"].mean == pytest.approx(0.7 + 0.2)


def test_table_and_json_say_the_same(end, tmp_path):
    wanted = planned(end, (0, 1), 2)
    result = attribution(wanted, measured(wanted, game))
    text, values = markdown(result), json.loads(to_json(result))
    (tmp_path / "attribution.json").write_text(to_json(result))
    written = read(tmp_path / "attribution.json")
    assert written.rows == result.rows
    assert (written.orders, written.runs, written.seeds) == (4, 2 * len(wanted.distinct), [0, 1])
    row = values["steps"][STEPS.index("gelu")]
    cell = f"{row['shapley']['mean']:+.2f} [{row['shapley']['low']:+.2f}, {row['shapley']['high']:+.2f}]"
    line = next(line for line in text.splitlines() if line.startswith("| gelu"))
    assert cell in line
    gained = game(wanted.study.everyone) - game(frozenset()) + (0.7 - 0.3) / 2
    sums = [cell.strip() for cell in next(line for line in text.splitlines() if line.startswith("| sum")).split("|")]
    assert sums[2] == sums[5] == f"{gained:+.2f}"
    assert [order[::-1] for order in values["orders"][::2]] == values["orders"][1::2]
    assert values["combinations"][0] == {"steps": [], "top1": [70, 70.3], "gmacs": 0.016, "params": 1000}
    assert values["runs"] == 2 * len(wanted.distinct)
    assert values["train_hours"] == pytest.approx(values["runs"] * 3 / 3600)  # 3 seconds each
    assert "2 pairs are few" in text
    assert "| start " in text


@pytest.mark.parametrize(
    ("seeds", "pairs", "says"),
    [
        ((0,), 0, "One seed gives path, leave-one-out and add-one-in no interval. No order is complete"),
        ((0,), 1, "One pair and one seed give no interval."),
        ((0, 1), 1, "bootstrap over seeds. One pair cannot tell"),
        ((0,), 2, "bootstrap over pairs of orders. The noise of the start's and the end's one run"),
        ((0, 1), 2, "bootstrap over seeds and pairs of orders. 2 pairs are few"),
        ((0, 1), 10, "bootstrap over seeds and pairs of orders.\n"),
    ],
)
def test_the_report_says_what_its_intervals_hold(end, seeds, pairs, says):
    wanted = planned(end, seeds, pairs)
    assert says in markdown(attribution(wanted, measured(wanted, game)))


def test_the_figure_has_every_step_and_is_the_same_file_again(end, tmp_path):
    wanted = planned(end, (0, 1), 1)
    found = measured(wanted, game)
    svg, png = save(figure(attribution(wanted, found).rows, "title"), tmp_path / "once")
    again, _ = save(figure(attribution(wanted, found).rows, "title"), tmp_path / "again")
    assert svg.read_bytes() == again.read_bytes()
    assert all(f">{text}<" in svg.read_text() for text in [*STEPS, *MEASURES.values()])
    assert png.read_bytes().startswith(b"\x89PNG")
    none = planned(end)
    save(figure(attribution(none, NOTHING).rows, "title"), tmp_path / "empty")


def test_records_that_cannot_be_used_are_named(end, tmp_path):
    def put(name: str, one: Record) -> Path:
        (tmp_path / name).mkdir()
        return record.write(tmp_path / name, one)

    put("a", result_of(end, 90.0))
    twice = put("b", result_of(end, 91.0))
    none = put("c", result_of(replace(end, seed=1), None))
    failed = put("d", result_of(replace(end, seed=2), None, status="failed"))
    (tmp_path / "e").mkdir()
    (tmp_path / "e/record.json").write_text("{")
    found = find(tmp_path)
    assert [one.top1 for one in found.done.values()] == [90.0]
    assert found.failed == {replace(end, seed=2).hash: failed}
    assert [line.split(":")[0] for line in found.left_out] == [
        *map(str, (twice, none)),
        str(tmp_path / "e/record.json"),
    ]


def attribute(*arguments: object):
    return run_script("scripts/attribution.py", *arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--runs", "0"], "--orders and --runs must be integers above 0, got '0'"),
        (["--orders", "3"], "--orders must be even and 1000 at most, got 3"),
        (["--hours", "soon"], "--hours must be a number above 0, got 'soon'"),
        (["--hours", "1"], "no finished run of digits with this recipe tells how long one takes"),
        (["--runs", "20"], "path, leave-one-out and add-one-in alone take 38 runs, more than the 20 allowed"),
        (["--seeds", "0,x", "--orders", "2"], "--seeds must be integers, 0 or more, as in 0,1,2, got '0,x'"),
        (["--orders", "2", "seed=3"], "seed=3 cannot be an override here"),
        (["--orders", "2", "--protocol", "mnist"], "there is no protocol 'mnist'; allowed: cifar10, "),
        (["--orders", "2", "recipe.epoch=3"], "there is no field 'recipe.epoch'; allowed: name, "),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, says, tmp_path):
    result = attribute("plan", *arguments, f"runs={tmp_path}")
    assert result.returncode == 2
    assert result.stderr.startswith(f"attribution.py: error: {says}")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
def test_from_plan_to_report_by_the_real_entry(compose, tmp_path):
    """All runs are there but two networks, which `run` trains; one has failed, which it leaves alone."""
    runs = tmp_path / "runs"
    overrides = ["recipe.epochs=1", "wandb=disabled", "data.split=train/val", f"runs={runs}"]
    same = ["--orders", 2, *overrides]
    wanted = planned(compose("+step=convnext", *overrides), pairs=1)
    order = wanted.pairs[0][0]
    lacking = [prefixes(order)[6], wanted.study.everyone - {"gelu"}]
    failed = prefixes(order)[4]
    for network, coalition in wanted.distinct.items():
        one = wanted.study.runs(network)[0]
        if coalition not in lacking:
            folder = one.folder(runs)
            folder.mkdir(parents=True)
            record.write(folder, result_of(one, game(coalition), status="failed" if coalition == failed else "done"))

    result = attribute("plan", *same)
    assert "58 networks, 58 runs\n55 runs are done, 3 are not\nfailed, which retry_failed=true" in result.stdout
    listed = [line.removeprefix("to train: ") for line in result.stdout.splitlines() if line.startswith("to train: ")]
    assert sorted(listed) == sorted(f"{wanted.study.shown(one)}, seed 0" for one in [*lacking, failed])

    result = attribute("run", *same)
    assert result.returncode == 0, result.stderr
    trained = [Path(line) for line in result.stdout.splitlines() if line.startswith(str(runs))]
    hashes = [wanted.study.runs(wanted.networks[coalition])[0].hash for coalition in lacking]
    assert {path.parent.name[-10:] for path in trained} == set(hashes)
    assert "nothing is left to train" in attribute("run", *same).stdout

    result = attribute("report", *same, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert result.stderr == f"missing: {wanted.study.shown(failed)}, seed 0\n"
    assert [Path(line).name for line in result.stdout.splitlines()] == [
        f"attribution.{suffix}" for suffix in ("md", "json", "svg", "png")
    ]
    values = json.loads((tmp_path / "out/attribution.json").read_text())
    gelu = values["steps"][STEPS.index("gelu")]
    top1 = record.read(next(path for path in trained if path.parent.name.endswith(hashes[1]))).top1
    assert top1 is not None
    assert gelu["leave_one_out"]["mean"] == game(wanted.study.everyone) - top1
    assert gelu["shapley"]["mean"] is None
    assert len(values["incomplete_orders"]) == 2
