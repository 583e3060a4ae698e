"""The answer of a report is one sentence, and says no more than the tests decide."""

from helpers import MAIN_PATH
from records import large_study, make_record

from modernet.analysis.table import build_rows
from modernet.record import Record
from modernet.report.answer import answer


def answer_of(records: list[Record]) -> str:
    text = answer(build_rows(records), "Digits, 2 epochs, size micro")
    assert text.count(". ") == 0
    assert text.endswith(".")
    return text


def levels(*top1s: float, seeds: int = 3) -> list[Record]:
    """The first steps of the roadmap with these means and a std of 0.1."""
    return [
        make_record(step, top1 + seed / 10, seed)
        for step, top1 in zip(MAIN_PATH, top1s, strict=False)
        for seed in range(seeds)
    ]


def test_answer_names_the_steps_that_change_top1_and_the_total_difference():
    text = answer_of(large_study())
    assert text.startswith(
        "On Digits (2 epochs, size micro, 3 seeds), 2 of 14 steps change top-1: Modern recipe raises it, ConvNeXt "
        "lowers it; from ResNet-50 to ConvNeXt top-1 changes by +0.42 ["
    )
    assert text.endswith("] points (p < 0.001 after Holm's correction).")
    assert "1 of 1 step changes top-1: Modern recipe raises it" in answer_of(levels(70, 75))
    assert "Modern recipe, Stage ratio and Patchify stem raise it;" in answer_of(levels(70, 75, 80, 85))


def test_answer_without_significant_steps_claims_no_equality():
    text = answer_of(levels(70, 70, 70))
    assert "none of 2 steps changes top-1 significantly; the difference from ResNet-50 to Stage ratio, +0.00 [" in text
    assert text.endswith("] points, is undecided (p = 1.000 after Holm's correction).")
    assert "Modern recipe does not change top-1 significantly" in answer_of(levels(70, 70))


def test_single_seeds_give_no_answer_about_steps():
    text = answer_of(levels(70, 75, seeds=1))
    assert text == (
        "On Digits (2 epochs, size micro, 1 seed), top-1 goes from 70.00 % (ResNet-50) to 75.00 % (Modern recipe); the "
        "noise between seeds is unknown, so they cannot be told apart yet."
    )


def test_variants_answer_where_no_two_steps_were_run():
    records = [*levels(70), *(make_record("resnet50", 75 + seed / 10, seed, "resnet50+act=gelu") for seed in range(3))]
    assert "1 of 1 variant changes top-1: ResNet-50, GELU raises it" in answer_of(records)
    assert "ResNet-50 has a top-1 of 70.10 %; no two neighbouring steps were run" in answer_of(levels(70))


def test_steps_that_are_no_neighbours_have_their_total_difference_and_no_unknown_noise():
    records = [
        make_record(step, top1 + seed / 10, seed)
        for step, top1 in (("resnet50", 70.0), ("gelu", 72.0), ("convnext", 65.0))
        for seed in range(3)
    ]
    text = answer_of(records)
    assert "no two neighbouring steps were run; from ResNet-50 to ConvNeXt top-1 changes by -5.00 [" in text
    assert "unknown" not in text


def test_a_variant_with_a_single_seed_has_a_neighbour_and_unknown_noise():
    records = [make_record("convnext", 70.0), make_record("convnext", 71.0, 0, "convnext+act=relu")]
    assert "has a top-1 of 71.00 %; the noise between seeds is unknown" in answer_of(records)
