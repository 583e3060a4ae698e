"""Conclusions follow from confidence intervals and corrected p-values."""

import re

from helpers import MAIN_PATH
from records import large_study, make_record

from modernet.analysis.table import build_rows
from modernet.config.names import step_name
from modernet.record import Record
from modernet.report.summary import VERDICTS, Family, build_families, describe_group


def families(records: list[Record]) -> dict[str, Family]:
    return {family.name.split()[0].strip(","): family for family in build_families(build_rows(records))}


def test_steps_raise_or_lower_top1_where_the_corrected_p_value_is_significant():
    result = families(large_study())
    steps = result["Steps"]
    assert steps.conclusion.startswith("14 tests, Holm-corrected")
    assert "than the others. 12 tests are undecided; this does not show" in steps.conclusion
    assert {heading: [re.split(r" [+-]\d", row)[0] for row in rows] for heading, rows in steps.verdicts} == {
        VERDICTS["raised"]: ["Modern recipe"],
        VERDICTS["lowered"]: ["ConvNeXt"],
        VERDICTS["undecided"]: list(map(step_name, MAIN_PATH[2:-1])),
    }
    assert steps.conclusion.endswith("The tests use the pooled std, 0.10 points with 30 degrees of freedom.")
    # +3.03 ± t * std * sqrt(2/3) with 15 * 2 degrees of freedom and std 0.1
    assert steps.verdicts[0][1] == ["Modern recipe +3.03 [+2.86, +3.20], p\xa0<\xa00.001"]
    variants = result["Variants"].conclusion
    assert variants.startswith("3 tests, Holm-corrected")
    assert variants.endswith(" The tests use the pooled std, 0.10 points with 36 degrees of freedom.")


def test_a_difference_is_undecided_where_only_the_uncorrected_interval_excludes_zero():
    def verdicts(gap: float) -> list[tuple[str, list[str]]]:
        levels = zip(MAIN_PATH[:4], (0.0, gap, gap, gap), strict=True)
        records = [make_record(step, 70 + level + seed / 10, seed) for step, level in levels for seed in range(3)]
        return families(records)["Steps"].verdicts

    # std 0.1 with 8 degrees of freedom. 0.3: t = 3.674, p = 0.0063; 0.2: t = 2.449, p = 0.0400. There are three tests.
    assert verdicts(0.3)[0] == (VERDICTS["raised"], ["Modern recipe +0.30 [+0.11, +0.49], p\xa0=\xa00.019"])
    assert verdicts(0.2)[0] == (
        VERDICTS["not significant"],
        ["Modern recipe +0.20 [+0.01, +0.39], p\xa0=\xa00.120"],
    )


def test_conclusions_name_welchs_test_where_the_noise_is_unequal():
    noise = {"resnet50": 0.1, "modern_recipe": 0.1, "stage_ratio": 0.1, "patchify_stem": 9.0}
    records = [make_record(step, 70 + scale * seed, seed) for step, scale in noise.items() for seed in range(3)]
    family = families(records)["Steps"]
    assert family.conclusion.startswith("3 tests, Holm-corrected")
    assert family.conclusion.endswith("The standard deviations of the variants are unequal, so the tests are Welch's.")


def test_single_seeds_alone_are_not_tested():
    family = families([make_record(step, 70.0 + number) for number, step in enumerate(MAIN_PATH[:4])])["Steps"]
    assert family.conclusion.startswith("No conclusion")
    assert [heading for heading, _ in family.verdicts] == [VERDICTS["not tested"]]
    records = [make_record("kernel_size", 70.0 + seed, seed) for seed in range(3)]
    family = families([*records, make_record("gelu", 90.0)])["Steps"]
    assert family.conclusion.startswith("1 test, Holm-corrected")  # with the noise of kernel_size
    family = families([make_record("gelu", 70.0, seed) for seed in range(3)])["Steps"]
    assert family.verdicts == [(VERDICTS["not compared"], ["GELU"])]


def test_describe_group_counts_runs_and_compares_start_with_end():
    text = " ".join(describe_group(build_rows([make_record(step, 70.0) for step in ("resnet50", "gelu")])))
    assert "2 of 15 steps, 1 seed each: 2 runs. From ResNet-50 to GELU: +0.00 points of top-1; a single seed" in text
    text = " ".join(describe_group(build_rows(large_study())))
    assert text.startswith("15 of 15 steps and 3 variants, 3 seeds each: 54 runs. From ResNet-50 to ConvNeXt: +0.42 [")
    assert "Highest mean: GELU, " in text
