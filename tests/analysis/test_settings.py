"""Rows that differ in more than their names say: in data, in a recipe of one name, in the network of a step."""

from typing import Any

import pytest
from helpers import run_command
from records import make_record, network, write_runs

from modernet.analysis.settings import mixed_settings
from modernet.analysis.table import build_rows
from modernet.record import Record


def runs_of(step: str, top1: float, **config: Any) -> list[Record]:
    """Two runs of a step whose config has these values."""
    own = {"recipe": {"weight_decay": 5e-5}} if step == "resnet50" else {}
    return [make_record(step, top1 + seed, seed, config={"seed": seed, **own, **config}) for seed in (0, 1)]


def differences(*records: list[Record]) -> dict[str, float | None]:
    rows = build_rows([record for of_step in records for record in of_step])
    return {row.variant: row.difference for row in rows if row.n}


def test_recipes_of_two_names_on_other_data_are_not_compared():
    old, new = {"data_fingerprint": "old"}, {"data_fingerprint": "new"}
    start, later = runs_of("resnet50", 60.0, **old), runs_of("stage_ratio", 65.0, **new)
    found = differences(start, runs_of("modern_recipe", 63.0, **new), later)
    assert found == {"resnet50": None, "modern_recipe": None, "stage_ratio": 2.0}
    found = differences(start, runs_of("modern_recipe", 63.0, **old), later)
    assert found == {"resnet50": None, "modern_recipe": 3.0, "stage_ratio": None}


def test_recipes_of_two_names_may_differ_in_their_own_fields():
    assert differences(runs_of("resnet50", 60.0), runs_of("modern_recipe", 63.0))["modern_recipe"] == 3.0


@pytest.mark.parametrize("field", ["stem_stride", "width"])
def test_a_network_that_is_not_the_steps_of_today_is_not_compared(field, tmp_path):
    """As after an edit of the protocol's stem stride, or of the width of a size."""
    records = [runs_of("modern_recipe", 63.0), runs_of("stage_ratio", 65.0), runs_of("patchify_stem", 66.0)]
    records[1] = runs_of("stage_ratio", 65.0, model=network("stage_ratio") | {field: 1})
    assert differences(*records) == dict.fromkeys(("modern_recipe", "stage_ratio", "patchify_stem"))
    write_runs(tmp_path, *(record for of_step in records for record in of_step))
    warnings = run_command("table", tmp_path).stderr.splitlines()
    assert [line for line in warnings if f"differ in model.{field}, and only those with the same value" in line]


def test_values_that_the_protocol_sets_for_all_steps_are_compared():
    """Also where a step sets the field itself, as convnext its Layer Scale."""
    steps = ("layer_norm", "separate_downsampling")
    records = [runs_of(step, 70.0, model=network(step) | {"layer_scale": 0.1, "stem_stride": 2}) for step in steps]
    records.append(runs_of("convnext", 71.0, model=network("convnext") | {"stem_stride": 2}))
    assert differences(*records) == {"layer_norm": None, "separate_downsampling": 0.0, "convnext": 1.0}


def test_values_that_the_variant_names_are_no_mixed_settings():
    variant = [make_record("convnext", 72.0, seed, "convnext+layer_scale=0.1+stem_stride=2") for seed in (0, 1)]
    assert mixed_settings([*runs_of("convnext", 71.0), *variant]) == []
