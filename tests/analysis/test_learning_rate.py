"""Network or recipe: each network's own best rate, and steps whose sign depends on it; signs beside the paper's."""

from records import make_record

from modernet.analysis.layout import build_layout, compare_with
from modernet.analysis.learning_rate import best_rates, sign_changes
from modernet.analysis.signs import Verdict, count_verdicts, verdict
from modernet.analysis.stats import summarize
from modernet.analysis.study_tables import sign_change_lines, signs_sentence
from modernet.analysis.table import build_rows


def rows(levels: dict[str, float], seeds: int = 3):
    return build_rows(
        [make_record(step, top1 + 0.1 * seed, seed) for step, top1 in levels.items() for seed in range(seeds)]
    )


def test_best_rate_is_that_of_the_highest_mean():
    best = best_rates({"gelu": {0.5: [60, 62], 1.0: [64, 62], 2.0: [62, 62]}}, usual=1.0)["gelu"]
    assert (best.lr, best.top1, best.is_tied, best.is_at_edge) == (1.0, {0.5: 61, 1.0: 63, 2.0: 62}, False, False)
    assert best_rates({"gelu": {0.5: [60], 1.0: [61], 2.0: [62]}}, usual=1.0)["gelu"].is_at_edge


def test_tied_rates_go_to_the_usual_one_or_else_to_the_lowest():
    usual = best_rates({"gelu": {0.5: [62], 1.0: [62], 2.0: [62]}}, usual=1.0)["gelu"]
    lowest = best_rates({"gelu": {0.5: [62], 1.0: [61], 2.0: [62]}}, usual=1.0)["gelu"]
    assert (usual.lr, usual.is_tied, lowest.lr, lowest.is_tied) == (1.0, True, 0.5, True)


def test_a_network_without_every_rate_has_no_best_one():
    results = {"gelu": {0.5: [60.0], 1.0: [61.0]}, "convnext": {1.0: [61.0]}}
    assert list(best_rates(results, usual=1.0)) == ["gelu"]


def test_steps_that_change_their_sign_are_named_with_both_differences():
    one = rows({"kernel_size": 60, "gelu": 65, "fewer_activations": 66, "fewer_norms": 66})
    own = rows({"kernel_size": 66, "gelu": 65, "fewer_activations": 67, "fewer_norms": 67})
    changes = sign_changes(one, own)
    assert [change.one_recipe.variant for change in changes] == ["gelu"]
    text = sign_change_lines(changes)
    assert "`gelu`: +5.00 [" in text
    assert "-1.00 [" in text
    assert sign_change_lines([]) == "No step of both tables changes the sign of its difference to the step before."


def test_verdicts_compare_decided_signs_alone():
    table = {row.variant: row for row in rows({"invert_bottleneck": 70, "move_up_depthwise": 60, "kernel_size": 55})}
    assert verdict(table["move_up_depthwise"]) is Verdict.AGREES  # the paper: -0.72
    assert verdict(table["kernel_size"]) is Verdict.DISAGREES  # the paper: +0.65
    assert verdict(table["invert_bottleneck"]) is Verdict.NOT_RUN
    assert verdict(table["convnext"]) is Verdict.NOT_IN_PAPER
    single = rows({"invert_bottleneck": 70, "move_up_depthwise": 60}, seeds=1)
    assert {row.variant: verdict(row) for row in single}["move_up_depthwise"] is Verdict.UNDECIDED
    counts = count_verdicts(table.values())
    assert (counts[Verdict.AGREES], counts[Verdict.DISAGREES], counts[Verdict.NOT_IN_PAPER]) == (1, 1, 1)
    sentence = signs_sentence("6 epochs", list(table.values()))
    assert sentence == (
        "6 epochs, 2 steps with both differences: 1 with the paper's sign (`move_up_depthwise`), 1 with the opposite "
        "sign (`kernel_size`), 0 decided here and near zero in the paper, 0 undecided."
    )


def test_contrasts_with_one_network_have_the_noise_of_the_layout_and_corrected_p_values():
    layout = build_layout([[60.0, 60.2, 60.4], [61.0, 61.2, 61.4]])
    others = {"a": [61.0, 61.2, 61.4], "b": [60.1], "c": [60.0, 60.2, 60.4]}
    found = compare_with([60.0, 60.2, 60.4], others, layout)
    assert [round(contrast.difference.mean or 0, 6) for contrast in found.values()] == [1.0, -0.1, 0.0]
    assert found["b"].difference == layout.compare(summarize([60.1]), summarize([60.0, 60.2, 60.4]))
    assert (found["a"].holm or 0) > (found["a"].difference.p or 0)
    assert compare_with([60.0], {"a": [61.0]}, build_layout([[60.0]]))["a"].difference.low is None
