"""A value of a config that is changed after runs were trained, while no newer runs exist."""

import json
from dataclasses import replace
from pathlib import Path

import hydra
import pytest
from helpers import run_command
from records import make_record, write_runs

from modernet.analysis.selection import select
from modernet.analysis.table import build_rows
from modernet.config.experiment import build_experiment, initialize_hydra
from modernet.config.search_path import VARIABLE
from modernet.record import Record
from modernet.report.answer import answer
from modernet.report.summary import describe_group

HALF_THE_WIDTH = "model: {{groups: '${{half:${{model.width}}}}'}}\n"
CONFIGS = {
    "step/wider_kernel.yaml": "defaults: [convnext, _self_]\nstep: wider_kernel\nmodel: {{kernel_size: {0}}}\n",
    "step/wider_relu.yaml": "defaults: [wider_kernel, _self_]\nstep: wider_relu\nmodel: {{act: relu}}\n",
    "recipe/decayed.yaml": "defaults: [modern, _self_]\nname: decayed\nweight_decay: 0.{0}\n",
    "step/grouped.yaml": f"defaults: [patchify_stem, _self_]\nstep: grouped\n{HALF_THE_WIDTH}",
    "step/narrow.yaml": "defaults: [grouped, _self_]\nstep: narrow\nmodel: {{width: {1}}}\n",
    "step/warm.yaml": "defaults: [convnext, _self_]\nstep: warm\nrecipe: {{lr: 0.0{0}}}\n",
    "step/warm_relu.yaml": "defaults: [warm, _self_]\nstep: warm_relu\nmodel: {{act: relu}}\n",
    "step/half.yaml": f"defaults: [modern_recipe, _self_]\nstep: half\n{HALF_THE_WIDTH}",
    "protocol/wide.yaml": "defaults: [digits, _self_]\nprotocol: wide\nmodel: {{width: 20}}\n",
    "protocol/short.yaml": "defaults: [digits, _self_]\nprotocol: short\nrecipe: {{epochs: {0}, warmup_epochs: 1}}\n",
}


def write_configs(folder: Path, number: int) -> str:
    for name, text in CONFIGS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        header = "" if name.startswith("recipe/") else "# @package _global_\n"
        path.write_text(header + text.format(number, 2 * number))
    return str(folder)


@pytest.fixture
def folders(tmp_path, monkeypatch) -> tuple[str, str]:
    """The same configs with other values, the first of which are in use."""
    before, after = (write_configs(tmp_path / f"configs{number}", number) for number in (11, 13))
    monkeypatch.setenv(VARIABLE, before)
    return before, after


def train(*words: str, top1: float = 80.0) -> Record:
    """The record that a run of these overrides would leave."""
    with initialize_hydra():
        run = build_experiment(hydra.compose("config", [*words]))
    config = run.config | {"data": run.config["data"] | {"num_classes": 10}}
    return make_record(
        run.step, top1, run.seed, run.variant, protocol=run.protocol, recipe=run.recipe.name, config=config
    )


def outdated(runs: Path) -> dict[str, str | None]:
    return {row.variant: row.outdated for row in build_rows(select(runs).records.values()) if row.n}


def test_every_view_names_the_field_and_both_values(tmp_path, folders, monkeypatch):
    records = [train(f"+step={step}", f"seed={seed}") for seed in (0, 1) for step in ("convnext", "wider_kernel")]
    write_runs(tmp_path / "runs", *records)
    assert outdated(tmp_path / "runs") == {"convnext": None, "wider_kernel": None}
    assert "outdated" not in run_command("table", tmp_path / "runs", "--csv").stdout
    monkeypatch.setenv(VARIABLE, folders[1])
    fields = "model.kernel_size=11 (now 13)"
    assert outdated(tmp_path / "runs") == {"convnext": None, "wider_kernel": fields}
    note = f"Runs have other values than their configs now: {fields} in wider_kernel."
    line = f"warning: in digits, size micro, runs have other values than their configs now: {fields} in wider_kernel"
    table = run_command("table", tmp_path / "runs")
    assert note in table.stdout
    assert line in table.stderr.splitlines()
    assert note in run_command("compare", "convnext", "wider_kernel", "--runs", tmp_path / "runs").stdout
    rows = json.loads(run_command("table", tmp_path / "runs", "--json").stdout)
    assert [row["outdated"] for row in rows if row["n"]] == [None, fields]
    of_table = build_rows(select(tmp_path / "runs").records.values())
    assert note in answer(of_table, "Digits, 12 epochs, size micro")
    assert note in describe_group(of_table)


def test_a_value_that_is_set_back_finds_its_runs_again(tmp_path, folders, monkeypatch):
    """A finished run is not trained again, so it stays the older one for ever."""
    old = replace(train("+step=wider_kernel", top1=70.0), ended="2026-01-01T00:00:00+00:00")
    monkeypatch.setenv(VARIABLE, folders[1])
    new = replace(train("+step=wider_kernel", top1=80.0), ended="2026-02-01T00:00:00+00:00")
    old_path, new_path = write_runs(tmp_path, old, new)
    assert [*select(tmp_path).records] == [new_path]
    monkeypatch.setenv(VARIABLE, folders[0])
    selection = select(tmp_path)
    assert [*selection.records] == [old_path]
    (line,) = selection.excluded
    assert line.startswith(f"{new_path}: another configuration with the name wider_kernel")
    assert f"differs in model.kernel_size; that of today's configs counts: {old_path}" in line
    assert outdated(tmp_path) == {"wider_kernel": None}


def test_only_values_that_the_name_does_not_state_count(tmp_path, folders, monkeypatch):
    """A step behind the changed one has the value too; recipes and protocols have values as well."""
    runs = [
        train("+step=wider_relu"),
        train("+step=wider_kernel", "model.kernel_size=9"),
        train("+step=narrow"),
        train("+step=warm_relu"),
        train("+step=warm_relu", "recipe.lr=0.5"),
        train("+step=convnext", "recipe=decayed"),
        train("+step=convnext", "recipe=decayed", "recipe.weight_decay=0.2"),
        train("+step=gelu", "protocol=short"),
        train("+step=gelu", "protocol=short", "recipe.epochs=5"),
    ]
    write_runs(tmp_path / "runs", *runs)
    assert set(outdated(tmp_path / "runs").values()) == {None}
    monkeypatch.setenv(VARIABLE, folders[1])
    assert {name: fields for name, fields in outdated(tmp_path / "runs").items() if fields} == {
        "wider_relu": "model.kernel_size=11 (now 13)",
        "narrow": "model.width=22 (now 26), model.groups=11 (now 13)",
        "warm_relu": "recipe.lr=0.011 (now 0.013)",
        "convnext+recipe=decayed": "recipe.weight_decay=0.11 (now 0.13)",
        "gelu": "recipe.epochs=11 (now 13)",
    }


def test_a_step_may_read_a_value_of_the_protocol(tmp_path, folders):
    """Half the width is 10 in this protocol and 8 in the size."""
    write_runs(tmp_path / "runs", train("+step=half", "protocol=wide"))
    assert set(outdated(tmp_path / "runs").values()) == {None}


def test_the_number_of_classes_that_the_files_give_is_not_outdated(tmp_path):
    write_runs(tmp_path / "runs", train("+step=gelu", "data.num_classes=null"), train("+step=gelu", "data=folder"))
    assert set(outdated(tmp_path / "runs").values()) == {None}


def test_runs_of_configs_that_are_not_here_are_not_outdated(tmp_path, folders, monkeypatch):
    write_runs(tmp_path / "runs", train("+step=gelu", "protocol=short"), train("+step=convnext", "recipe=decayed"))
    monkeypatch.delenv(VARIABLE)
    assert set(outdated(tmp_path / "runs").values()) == {None}


def test_a_run_of_unknown_values_does_not_count_as_todays(tmp_path, folders):
    """Records without the name of their recipe, as made by hand, are of unknown values."""
    known = replace(train("+step=wider_kernel", "model.kernel_size=5"), ended="2026-02-01T00:00:00+00:00")
    known = replace(known, variant="wider_kernel")
    unnamed = {name: value for name, value in known.config["recipe"].items() if name != "name"}
    old = replace(known, ended="2026-01-01T00:00:00+00:00", config=known.config | {"recipe": unnamed | {"lr": 0.5}})
    _, new_path = write_runs(tmp_path, old, known)
    selection = select(tmp_path)
    assert [*selection.records] == [new_path]
    assert "the newest counts" in selection.excluded[0]


@pytest.mark.parametrize("is_todays", [True, False])
def test_of_a_step_and_its_variant_the_one_with_todays_values_counts(tmp_path, folders, monkeypatch, is_todays):
    """The step was trained before its value was changed, the variant after that; then the value may be set back."""
    step = replace(train("+step=wider_kernel"), ended="2026-01-01T00:00:00+00:00")
    monkeypatch.setenv(VARIABLE, folders[1])
    variant = replace(train("+step=wider_kernel", "model.act_after=[0]"), ended="2026-02-01T00:00:00+00:00")
    step_path, variant_path = write_runs(tmp_path, step, variant)
    if is_todays:
        monkeypatch.setenv(VARIABLE, folders[0])
    selection = select(tmp_path)
    assert [*selection.records] == [step_path if is_todays else variant_path]
    assert "that of today's configs counts" in selection.excluded[0]
