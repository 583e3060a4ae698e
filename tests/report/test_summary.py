"""Conclusions follow from confidence intervals and corrected p-values."""

from helpers import MAIN_PATH
from records import large_study, make_record

from modernet.analysis.table import build_rows
from modernet.record import Record
from modernet.report.summary import VERDICTS, Family, build_families, describe_group


def families(records: list[Record]) -> dict[str, Family]:
    return {family.name.split()[0].strip(","): family for family in build_families(build_rows(records))}


def test_steps_raise_or_lower_top1_where_the_corrected_p_value_is_significant():
    result = families(large_study())
    steps = result["Steps"]
    assert steps.conclusion.startswith("14 tests, Holm-corrected")
    assert "Raised top-1: modern_recipe. Lowered top-1: convnext. 12 tests are undecided" in steps.conclusion
    assert {heading: [row.split()[0] for row in rows] for heading, rows in steps.verdicts} == {
        VERDICTS["raised"]: ["modern_recipe"],
        VERDICTS["lowered"]: ["convnext"],
        VERDICTS["undecided"]: MAIN_PATH[2:-1],
    }
    variants = result["Variants"].conclusion
    assert "Raised top-1: none. Lowered top-1: none. 3 tests are undecided" in variants
    # +3.03 ± t * std * sqrt(2/3) with 4 degrees of freedom and std 0.1
    assert steps.verdicts[0][1] == ["modern_recipe +3.03 [+2.80, +3.26], p\xa0<\xa00.001"]


def test_a_difference_is_undecided_where_only_the_uncorrected_interval_excludes_zero():
    def verdicts(steps: int) -> list[tuple[str, list[str]]]:
        levels = zip(MAIN_PATH[:steps], (0.0, 0.3, 0.3, 0.3), strict=False)
        records = [make_record(step, 70 + level + seed / 10, seed) for step, level in levels for seed in range(3)]
        return families(records)["Steps"].verdicts

    # 0.3 with std 0.1 and 4 degrees of freedom: t = 3.674, p = 0.0213; three tests make it 0.064
    assert verdicts(2) == [(VERDICTS["raised"], ["modern_recipe +0.30 [+0.07, +0.53], p\xa0=\xa00.021"])]
    assert verdicts(4)[0] == (
        VERDICTS["not significant"],
        ["modern_recipe +0.30 [+0.07, +0.53], p\xa0=\xa00.064"],
    )


def test_single_seeds_are_not_tested():
    family = families([make_record(step, 70.0 + number) for number, step in enumerate(MAIN_PATH[:4])])["Steps"]
    assert family.conclusion.startswith("No conclusion")
    assert [heading for heading, _ in family.verdicts] == [VERDICTS["not tested"]]
    family = families([make_record("gelu", 70.0, seed) for seed in range(3)])["Steps"]
    assert family.verdicts == [(VERDICTS["not compared"], ["gelu"])]


def test_describe_group_counts_runs_and_compares_start_with_end():
    text = " ".join(describe_group(build_rows([make_record(step, 70.0) for step in ("resnet50", "gelu")])))
    assert "2 of 15 steps, 1 seed each: 2 runs. From resnet50 to gelu: +0.00 points of top-1; a single seed" in text
    text = " ".join(describe_group(build_rows(large_study())))
    assert text.startswith("15 of 15 steps and 3 variants, 3 seeds each: 54 runs. From resnet50 to convnext: +0.42 [")
    assert "Highest mean: gelu+act=" in text
