"""Budget axis: gaps, crossings with bootstrap intervals, and the line by which a gap closes."""

from dataclasses import replace
from math import inf, log2

import numpy as np
import pytest
from records import make_record, network

from modernet.analysis.budget import budget_cells, budget_layout, build_gaps, fit_closing
from modernet.analysis.budget_tables import budget_table, crossing_table, describe_closing, describe_crossing, gap_table
from modernet.analysis.crossing import find_crossing
from modernet.analysis.layout import WELCH
from modernet.analysis.row import Group

EPOCHS = (2, 6, 18)


def line_cells(zero: float, slope: float, seeds: int = 3, std: float = 0.0, draw: int = 0, epochs=EPOCHS):
    """Two networks whose true gap is a line in log2(epochs), zero at log2(epochs) = `zero`."""
    rng = np.random.default_rng(draw)

    def runs(level: float) -> list[float]:
        return [float(value) for value in level + std * rng.standard_normal(seeds)]

    first = {number: runs(60 + 2 * log2(number)) for number in epochs}
    gaps = {number: slope * (log2(number) - zero) for number in epochs}
    return {"first": first, "second": {number: runs(60 + 2 * log2(number) + gaps[number]) for number in epochs}}


def crossing(cells):
    found = find_crossing(cells, "first", "second")
    assert found is not None
    return found


def closing(cells):
    found = fit_closing(cells, "first", "second")
    assert found is not None
    return found


@pytest.mark.parametrize(("slope", "leader"), [(1.5, "second"), (-1.5, "first")])
def test_a_known_crossing_is_recovered(slope, leader):
    found = crossing(line_cells(3.0, slope))
    assert (found.epochs, found.leader, found.sign_changes) == (pytest.approx(8), leader, 1)
    noisy = crossing(line_cells(3.0, slope, std=0.1))
    assert noisy.low is not None
    assert noisy.high is not None
    assert noisy.epochs is not None
    assert 6 < noisy.low < noisy.epochs < noisy.high < 11
    assert noisy.probability == 1
    assert f"{noisy.epochs:.1f} epochs [{noisy.low:.1f}, {noisy.high:.1f}]: {leader} leads" in describe_crossing(noisy)


def test_no_crossing_is_reported_as_none():
    found = crossing(line_cells(8.0, 1.0, std=0.1))
    assert (found.epochs, found.low, found.high, found.leader, found.probability) == (None, None, None, "first", 0)
    assert describe_crossing(found) == "none up to 18 epochs, where first leads; 0 % of the bootstrap's draws cross"


def test_an_uncertain_crossing_is_open_towards_longer_training():
    found = crossing(line_cells(log2(17), 0.5, std=0.3, draw=3))
    assert found.epochs is not None
    assert (found.high, found.probability is not None and found.probability < 1) == (inf, True)
    assert "above 18]" in describe_crossing(found)


@pytest.mark.parametrize("seeds", [3, 5])
def test_bootstrap_interval_covers_the_true_crossing(seeds):
    zero, hits = 2.4, 0
    for draw in range(150):
        found = find_crossing(line_cells(zero, 0.8, seeds, 0.4, draw), "first", "second", draws=400)
        assert found is not None
        if found.epochs is None:
            hits += (found.probability or 0) > 0.05
        else:
            assert found.low is not None
            assert found.high is not None
            hits += found.low <= 2**zero <= found.high
    assert hits / 150 > 0.9


def test_the_bootstrap_is_reproducible():
    cells = line_cells(3.0, 1.0, std=0.5)
    assert crossing(cells) == crossing(cells)


@pytest.mark.parametrize(
    ("gaps", "epochs", "leader"),
    [
        ([-1, 0, 1], 6, "second"),  # equal at 6
        ([-1, 1, 0], 2 ** ((1 + log2(6)) / 2), None),
        ([-1, 0, -1], None, "first"),  # touches and returns
        ([-1, -1, 0], None, None),  # ends equal
        ([0, 1, 1], None, "second"),
        ([0, 0, 0], None, None),
    ],
)
def test_ties_are_no_crossing_unless_the_sign_changes(gaps, epochs, leader):
    cells = {"first": {key: [60.0, 60.0] for key in EPOCHS}}
    cells["second"] = {number: [60.0 + gap] * 2 for number, gap in zip(EPOCHS, gaps, strict=True)}
    found = crossing(cells)
    assert found.epochs == (None if epochs is None else pytest.approx(epochs))
    assert (found.leader, found.low, found.high) == (leader, None, None)


def test_of_several_changes_of_the_sign_the_last_one_is_the_crossing():
    cells = {"first": {key: [60.0] for key in (1, 2, 4, 8)}}
    cells["second"] = {number: [60.0 + gap] for number, gap in zip((1, 2, 4, 8), (-1, 1, -1, 1), strict=True)}
    found = crossing(cells)
    assert (found.epochs, found.sign_changes) == (pytest.approx(2**2.5), 3)
    assert "3 changes of the sign, this is the last" in describe_crossing(found)


def test_one_seed_gives_no_interval():
    cells = line_cells(3.0, 1.0, seeds=1, std=0.1)
    found, line = crossing(cells), closing(cells)
    assert found.epochs is not None
    assert line.zero is not None
    assert (found.low, found.high, found.probability) == (None, None, None)
    assert (line.slope.low, line.slope.high, line.zero_low, line.lack_of_fit_p) == (None, None, None, None)
    assert build_gaps(cells, "first", "second")[2].low is None


def test_a_budget_of_one_seed_has_the_pooled_noise():
    cells = line_cells(3.0, 1.0, std=0.1)
    cells["first"][54], cells["second"][54] = [70.0], [60.0]
    found = crossing(cells)
    assert found.budgets == (*EPOCHS, 54)
    assert found.low is not None
    assert found.low < (found.epochs or 0) < (found.high or 0)
    assert "70.00 [" in budget_table(cells)
    assert build_gaps(cells, "first", "second")[54].low is not None  # the pooled std
    line = closing(cells)
    assert line.budgets == (*EPOCHS, 54)
    assert describe_closing(replace(line, zero=40.0, zero_low=None, zero_high=None)).startswith("40.0 epochs;")
    assert "by extrapolation" in describe_closing(replace(line, zero=55.0, zero_low=None, zero_high=None))


def test_cells_whose_runs_are_equal_have_the_pooled_noise():
    cells = line_cells(2.0, 1.0, std=0.3)
    equal = {name: {epochs: [float(np.mean(runs))] * 3 for epochs, runs in cells[name].items()} for name in cells}
    others = {f"{name} again": {epochs: [60.0, 60.3, 60.6] for epochs in EPOCHS} for name in cells}
    noisy = crossing(cells | others)
    found = crossing(equal | others)
    assert noisy.low is not None
    assert found.low is not None
    assert found.high is not None
    assert found.epochs is not None
    assert log2(found.high / found.low) > 0.5 * log2((noisy.high or 0) / noisy.low)
    assert found.low < found.epochs < found.high


def test_bootstrap_interval_covers_the_true_crossing_with_unequal_noise():
    """Where Welch's test takes the place of the pooled noise."""
    hits = welch = 0
    for draw in range(200):
        quiet, noisy = line_cells(2.0, 1.0, 3, 0.05, draw), line_cells(2.0, 1.0, 3, 0.6, draw + 1000)
        cells = {"first": quiet["first"], "second": noisy["second"]}
        if budget_layout(cells).test == WELCH:
            found = find_crossing(cells, "first", "second", draws=400)
            assert found is not None
            welch += 1
            hits += found.low is not None and found.high is not None and found.low <= 4 <= found.high
    assert welch > 100
    assert hits / welch > 0.93


def test_closing_of_a_line_is_its_slope_and_its_zero():
    line = closing(line_cells(6.0, 0.5))
    assert (line.slope.mean, line.zero) == (pytest.approx(0.5), pytest.approx(64))
    noisy = closing(line_cells(6.0, 0.5, std=0.05))
    assert noisy.slope.low is not None
    assert noisy.slope.high is not None
    assert noisy.slope.low < 0.5 < noisy.slope.high
    assert noisy.zero_low is not None
    assert noisy.zero_high is not None
    assert noisy.zero_low < 64 < noisy.zero_high
    assert noisy.lack_of_fit_p is not None
    assert noisy.lack_of_fit_p > 0.01
    assert "73.0] by extrapolation" in describe_closing(replace(noisy, zero_high=73.0))
    assert "above 18,000] by extrapolation" in describe_closing(replace(noisy, zero_high=20_000.0))
    assert describe_closing(replace(noisy, zero=20_000.0)) == "none up to 18,000 epochs"
    assert describe_closing(replace(noisy, budgets=(2, 6))) == "needs three lengths"
    text = describe_closing(noisy)
    assert "by extrapolation" in text


def test_intervals_of_slope_and_zero_cover_the_truth():
    slopes = zeros = bounded = 0
    for draw in range(300):
        line = closing(line_cells(5.0, 0.8, 3, 0.4, draw))
        assert line.slope.low is not None
        assert line.slope.high is not None
        slopes += line.slope.low < 0.8 < line.slope.high
        if line.zero_low is not None and line.zero_high is not None:
            bounded += 1
            zeros += line.zero_low < 2**5 < line.zero_high
    assert 0.91 < slopes / 300 < 0.99
    assert bounded > 250
    assert zeros / bounded > 0.91


def test_a_gap_that_grows_or_is_flat_does_not_close():
    growing = closing(line_cells(-1.0, 0.5))
    assert growing.zero is None
    assert "does not close" in describe_closing(growing)
    flat = closing(line_cells(40.0, 0.02, std=0.5, draw=1))
    assert describe_closing(flat).startswith("undecided: the interval of the slope includes zero; lack of fit p = ")


def test_a_zero_that_is_far_away_has_no_number():
    line = closing(line_cells(1500.0, 0.02, std=0.001, epochs=(2, 4, 8, 16)))
    assert line.zero_low is not None
    assert describe_closing(line) == "none up to 16,000 epochs"


def test_a_bend_shows_as_lack_of_fit():
    cells = line_cells(8.0, 1.0, std=0.05)
    cells["second"][6] = [value + 3 for value in cells["second"][6]]
    line = closing(cells)
    assert line.lack_of_fit_p is not None
    assert line.lack_of_fit_p < 0.001


def test_pairs_without_two_common_budgets_have_no_crossing():
    cells = {"first": {2: [60.0], 6: [61.0]}, "second": {2: [60.0]}}
    assert find_crossing(cells, "first", "second") is None
    assert fit_closing(cells, "first", "second") is None
    assert "not run" in budget_table(cells)
    assert "not run" in gap_table(cells)
    assert crossing_table(cells) == ""


def test_budget_cells_are_the_runs_of_a_protocol_that_differ_in_their_epochs_alone():
    records = [
        make_record("gelu", 60.0, 1),
        make_record("gelu", 61.0, 0),
        make_record("gelu", 65.0, 0, "gelu+recipe.epochs=6", epochs=6),
        make_record("gelu", 66.0, 0, "gelu+recipe.lr=1+recipe.epochs=6", epochs=6),
        make_record("gelu", 67.0, 0, "gelu+recipe.epochs=6", epochs=6, protocol="cifar10"),
        make_record("resnet50", 50.0, 0, "resnet50+width=8"),
        make_record("resnet50", 55.0, 0, "resnet50+width=8+recipe.epochs=6", epochs=6),
        make_record("convnext", 50.0),  # one number of epochs
    ]
    cells = budget_cells(records, Group("digits", "micro", ""))
    assert list(cells.items()) == [("resnet50+width=8", {2: [50.0], 6: [55.0]}), ("gelu", {2: [61.0, 60.0], 6: [65.0]})]


def test_budget_cells_have_each_run_once_and_no_other_settings():
    def run(variant: str, epochs: int, seed: int, **recipe):
        config = {"seed": seed, "recipe": {"epochs": epochs, **recipe}}
        return make_record("gelu", 60.0 + epochs, seed, variant, epochs=epochs, config=config)

    copies = [run("gelu", 2, 0), run("gelu+recipe.epochs=2", 2, 0)]
    records = [*copies, run("gelu+recipe.epochs=6", 6, 0), run("gelu+recipe.epochs=18", 18, 0, lr=0.5)]
    assert budget_cells(records, Group("digits", "micro", "")) == {"gelu": {2: [62.0], 6: [66.0]}}


def test_ratios_of_errors_stand_under_their_length():
    """The second network was not trained for 6 epochs, which the third was."""
    lengths = {number: [60.0 + number, 60.5 + number] for number in EPOCHS}
    cells = {"first": lengths, "second": {2: [50.0], 18: [60.0]}, "third": lengths}
    [row] = [line for line in crossing_table(cells).splitlines() if line.startswith("| second - first")]
    before = [100 - (60.25 + number) for number in (2, 18)]
    assert row.endswith(f" {50 / before[0]:.2f}, -, {40 / before[1]:.2f} |")


def test_a_network_that_was_changed_between_two_lengths_has_no_curve():
    def runs(step: str, epochs: int, **changes: int):
        config = {"recipe": {"epochs": epochs}, "model": network(step) | changes}
        name = step if epochs == 6 else f"{step}+recipe.epochs={epochs}"
        return [
            make_record(step, 60.0 + seed, seed, name, epochs=epochs, config={**config, "seed": seed})
            for seed in (0, 1)
        ]

    kept = [*runs("gelu", 6), *runs("gelu", 18)]
    group = Group("digits", "micro", "")
    assert list(budget_cells([*kept, *runs("convnext", 6), *runs("convnext", 18)], group)) == ["gelu", "convnext"]
    for change in ({"stem_stride": 2}, {"kernel_size": 9}):
        changed = runs("convnext", 18, **change)
        assert list(budget_cells([*kept, *runs("convnext", 6), *changed], group)) == ["gelu"]
    other_stride = {"stem_stride": 2}
    mixed = [*kept, *runs("layer_norm", 6, **other_stride), *runs("convnext", 6), *runs("convnext", 18, **other_stride)]
    assert list(budget_cells(mixed, group)) == ["gelu"]
    not_in_group = [*runs("convnext", 2, **other_stride), *runs("convnext", 18, **other_stride)]
    assert list(budget_cells([*kept, *not_in_group], group)) == ["gelu"]
