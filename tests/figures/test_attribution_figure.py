"""The figure of an attribution: contributions with their intervals, and the factors of the costs."""

import pytest
from drawn import points

from modernet.attribution.measures import AttributionRow, Contribution
from modernet.figures.attribution import plot_attribution
from modernet.figures.axes import NotEnoughRuns


def test_attribution_shows_contributions_with_intervals_and_hollow_marks_where_the_cost_changes():
    plain = Contribution(1.5, 1.0, 2.0, gmacs=1.0, params=1.0)
    costly = Contribution(-0.5, -1.0, 0.25, gmacs=2.0, params=1.0)
    rows = [
        AttributionRow(
            "gelu", {"path": plain, "leave_one_out": costly, "add_one_in": plain, "shapley": Contribution()}
        ),
        AttributionRow("layer_norm", dict.fromkeys(("path", "leave_one_out", "add_one_in", "shapley"), plain)),
    ]
    gains, costs = plot_attribution(rows, "digits").axes
    assert [label.get_text() for label in gains.get_yticklabels()] == ["GELU", "LayerNorm"]
    marks = [line for line in gains.lines if str(line.get_marker()) in "o^vD"]
    assert [points(mark)[0, 0] for mark in marks] == [1.5, -0.5, 1.5, 1.5, 1.5, 1.5, 1.5]  # what was not run has none
    assert [mark.get_markerfacecolor() == "white" for mark in marks] == [False, True, *[False] * 5]
    intervals = [points(line)[:, 0].tolist() for line in gains.lines if line.get_marker() == "None"]
    assert [interval for interval in intervals if interval != [0, 0]][:2] == [[1.0, 2.0], [-1.0, 0.25]]
    factors = [points(line)[0, 0] for line in costs.lines if str(line.get_marker()) in "o^vD"]
    assert factors == [1.0, 2.0, *[1.0] * 5]


@pytest.mark.parametrize(
    ("contribution", "reason"),
    [
        (Contribution(1.5, gmacs=1.0, params=1.0), "no contribution has a confidence interval"),
        (Contribution(0.0, 0.0, 0.0, gmacs=1.0, params=1.0), "no contribution has a confidence interval"),
        (Contribution(1.5, -150.0, 150.0, gmacs=1.0, params=1.0), "of every contribution includes zero"),
    ],
)
def test_attribution_without_a_result_is_no_figure(contribution, reason):
    rows = [AttributionRow("gelu", dict.fromkeys(("path", "leave_one_out", "add_one_in", "shapley"), contribution))]
    with pytest.raises(NotEnoughRuns, match=reason):
        plot_attribution(rows, "digits")
