"""Selection of the records that can be compared; every excluded file is reported with a reason."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from helpers import run_command
from records import TABLE_RECORDS, make_record, write_runs

from modernet.analysis.selection import select
from modernet.analysis.table import build_rows
from modernet.analysis.table_text import to_markdown
from modernet.record import Record, load_record, write_record
from modernet.report.answer import answer
from modernet.report.studies import load_studies


def test_excluded_files_are_reported_by_path_with_a_reason(runs):
    folder = runs / "digits"
    unknown_field = asdict(make_record("gelu", 1.0)) | {"colour": "red"}
    missing_fields = asdict(make_record("gelu", 1.0))
    del missing_fields["top5"], missing_fields["size"]
    texts = {
        "broken": '{"step": "gelu"',
        "binary": "\0",
        "unknown_field": json.dumps(unknown_field),
        "missing_fields": json.dumps(missing_fields),
        "old_version": json.dumps(asdict(make_record("gelu", 1.0)) | {"schema_version": 1}),
        "nan": json.dumps(asdict(make_record("gelu", 1.0)) | {"top1": float("nan")}),
    }
    records = {
        "failed": make_record("gelu", 0.0, status="failed"),
        "no_top1": make_record("gelu", None),
        "unknown_step": make_record("swin", 1.0),
        "unknown_size": make_record("gelu", 1.0, size="xxl"),
        "other_config": make_record("stage_ratio", 10.0, 9, config={"seed": 9, "model": {"act": "other"}}),
        "repeated": make_record("stage_ratio", 92.0, 0),
    }
    hint = "is it from another version, from configs that --config-dir names, or was it renamed?"
    reasons = {
        "broken": "not a record (not a JSON object: Expecting ',' delimiter",
        "binary": "not a record (not a JSON object: Expecting value",
        "unknown_field": "not a record (colour Unexpected keyword argument)",
        "missing_fields": "not a record (size Field required, top5 Field required)",
        "old_version": "not a record (schema_version is 1, this modernet reads 2)",
        "directory": "not a record (not a regular file)",
        "failed": "failed",
        "no_top1": "done, without a top-1",
        "nan": "not a record (top1 Input should be a finite number)",
        "unknown_step": f"there is no step 'swin' here; {hint}",
        "unknown_size": f"there is no size 'xxl' here; {hint}",
        "other_config": "another configuration with the name stage_ratio, without a date, which differs in ",
        "repeated": f"stage_ratio with seed 0 a second time; the first is {folder / '6'}",
    }
    for name in reasons:
        (folder / name).mkdir()
    for name, text in texts.items():
        (folder / name / "record.json").write_text(text)
    for name, record in records.items():
        write_record(folder / name, record)
    (folder / "directory/record.json").mkdir()

    selection = select(runs)
    assert len(selection.records) == len(TABLE_RECORDS)
    excluded = {Path(line.split(":")[0]).parent.name: line.split(": ", 1)[1] for line in selection.excluded}
    assert excluded.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert excluded[name].startswith(reason)
    result = run_command("table", runs)
    assert result.returncode == 0
    assert len([line for line in result.stderr.splitlines() if line.startswith("excluded: ")]) == len(reasons)


def test_a_folder_without_records_is_one_line_and_status_2(tmp_path):
    for arguments in ([tmp_path], [tmp_path, "--protocol", "imagenet"]):
        result = run_command("table", *arguments)
        assert result.returncode == 2
        assert result.stderr.startswith("table.py: error: there is no finished record")
        assert len(result.stderr.splitlines()) == 1


def test_protocol_restricts_the_selection(runs):
    assert {record.protocol for record in select(runs, "cifar10_micro").records.values()} == {"cifar10_micro"}
    assert len(select(runs, "digits").records) == len(TABLE_RECORDS) - 1


@pytest.mark.parametrize("written_out", [{}, {"model": {"act": "relu", "width": 64}, "recipe": {"momentum": 0.9}}])
def test_configurations_are_compared_by_the_values_that_differ_from_defaults(tmp_path, written_out):
    """A record written before a field existed is of the same configuration as one that has its default."""
    for seed, config in enumerate(({}, written_out)):
        record = make_record("gelu", 1.0, seed, config={"model": {}, **config, "seed": seed})
        write_runs(tmp_path / str(seed), record)
    assert len(select(tmp_path).records) == 2


def test_an_undeclared_metric_leaves_a_record_valid(tmp_path):
    record = replace(make_record("gelu", 71.25), metrics={"peak_memory": 100.0, "from_a_fork": 1.0})
    assert load_record(write_record(tmp_path, record)) == record
    assert select(tmp_path).excluded == []


def gelu(top1: float, seed: int, ended: str | None = None, epochs: int = 2, host: str | None = None) -> Record:
    config = {"seed": seed, "recipe": {"epochs": epochs}}
    return make_record("gelu", top1, seed, config=config, ended=ended, host=host)


def test_of_configurations_with_one_name_the_newest_counts_and_the_others_are_named(tmp_path):
    """A fresh rerun after a change of a default is one run against three."""
    old = [gelu(60.0 + seed, seed, f"2026-01-0{seed + 1}T00:00:00+00:00") for seed in range(3)]
    undated = [gelu(50.0 + seed, seed, epochs=1) for seed in range(4)]
    paths = write_runs(tmp_path, *old, *undated, gelu(70.0, 0, "2026-02-01T00:00:00+00:00", epochs=6))
    selection = select(tmp_path)
    assert list(selection.records) == [paths[-1]]
    rule = f"the newest counts: {paths[-1]}, ended 2026-02-01T00:00:00+00:00"
    reason, difference = "another configuration with the name gelu", "which differs in recipe.epochs"
    assert selection.excluded == [
        *(
            f"{paths[seed]}: {reason}, ended 2026-01-0{seed + 1}T00:00:00+00:00, {difference}; {rule}"
            for seed in range(3)
        ),
        *(f"{paths[3 + seed]}: {reason}, without a date, {difference}; {rule}" for seed in range(4)),
    ]
    for command in (["table", tmp_path, "--csv"], ["figures", tmp_path, "--out", tmp_path / "figures"]):
        result = run_command(*command)
        assert result.returncode == 0
        excluded = [line for line in result.stderr.splitlines() if line.startswith("excluded: ")]
        assert excluded == [f"excluded: {line}" for line in selection.excluded]
    [row] = [row for row in build_rows(selection.records.values()) if row.n]
    assert (row.n, row.top1) == (1, 70.0)


@pytest.mark.parametrize(("field", "value"), [("params", 700_000), ("gmacs", 0.5)])
def test_runs_of_a_step_whose_code_was_changed_are_another_configuration(tmp_path, field, value):
    """The config is the same, the cost of the network is not."""
    old = [gelu(60.0 + seed, seed, f"2026-01-0{seed + 1}T00:00:00+00:00") for seed in range(2)]
    new = replace(gelu(70.0, 2, "2026-02-01T00:00:00+00:00"), **{field: value})
    *old_paths, new_path, other_path = write_runs(tmp_path, *old, new, make_record("convnext", 60.0))
    selection = select(tmp_path)
    assert [*selection.records] == [new_path, other_path]
    assert [line.partition(":")[0] for line in selection.excluded] == list(map(str, old_paths))
    assert all(f"which differs in {field}; the newest counts" in line for line in selection.excluded)
    result = run_command("compare", "gelu", "convnext", "--runs", tmp_path)
    assert result.stderr.count(f"which differs in {field}") == 2, result.stderr


def test_folders_of_two_machines_merge_and_a_copied_run_counts_once(tmp_path):
    here = write_runs(tmp_path / "here", gelu(60.0, 0), gelu(61.0, 1))
    there = write_runs(tmp_path / "there", gelu(61.0, 1, host="server"), gelu(62.0, 2, host="server"))
    folders = [tmp_path / "here", tmp_path / "there"]
    selection = select(folders)
    assert list(selection.records) == [*here, there[1]]
    assert selection.excluded == [f"{there[0]}: gelu with seed 1 a second time; the first is {here[1]}"]
    assert select([*folders, tmp_path / "here/../here"]) == selection  # a file below two folders counts once
    for arguments in (folders, ["--runs", *folders], [folders[0], "--runs", folders[1]]):
        [row] = [row for row in json.loads(run_command("table", *arguments, "--json").stdout) if row["n"]]
        assert (row["n"], row["top1s"]) == (3, [60.0, 61.0, 62.0])


def test_two_records_of_one_run_that_disagree_are_an_error_with_both_paths(tmp_path):
    [here] = write_runs(tmp_path / "here", gelu(60.0, 0))
    [there] = write_runs(tmp_path / "there", gelu(60.01, 0, host="server"))
    folders = [tmp_path / "here", tmp_path / "there"]
    for command in (
        ["table", *folders],
        ["figures", *folders, "--out", tmp_path / "figures"],
        ["report", "--runs", *folders, "--out", tmp_path / "report.html"],
        ["compare", "gelu", "convnext", "--runs", *folders],
    ):
        result = run_command(*command)
        assert (result.returncode, result.stdout) == (2, ""), command
        assert "error: two records of one run disagree, gelu with seed 0:" in result.stderr
        assert f"{here} has top-1 60 and {there} has top-1 60.01; delete" in result.stderr
    result = run_command("table", *folders, "--where", "host!='server'", "--json")
    assert [row["top1"] for row in json.loads(result.stdout) if row["n"]] == [60.0]


def test_a_missing_folder_of_several_is_an_error(tmp_path):
    write_runs(tmp_path / "here", gelu(60.0, 0))
    for command in (["table"], ["figures"], ["report", "--runs"], ["compare", "gelu", "relu", "--runs"]):
        result = run_command(*command, tmp_path / "here", tmp_path / "theer")
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.endswith(f"error: there is no folder {tmp_path / 'theer'}\n")


def test_rows_of_one_table_with_other_settings_are_reported(tmp_path):
    """After a change of a default, some rows are from before it."""
    relu = make_record("fewer_activations", 60.0, config={"seed": 0, "recipe": {"epochs": 6, "ema_decay": 0.0}})
    write_runs(tmp_path, gelu(60.0, 0), relu, make_record("resnet50", 50.0, recipe="classic"))
    warnings = [line for line in run_command("table", tmp_path).stderr.splitlines() if line.startswith("warning")]
    assert warnings == [
        "warning: in digits, size micro, runs with recipe modern differ in recipe.epochs, and only those with the same "
        "value are compared: 2 in gelu; 6 in fewer_activations"
    ]


def epochs_config(epochs: int, seed: int) -> dict[str, Any]:
    return {"seed": seed, "recipe": {"epochs": epochs}}


def test_rows_with_other_settings_are_not_compared(tmp_path):
    """Neither with the step before nor with the start, whose recipe has another name; others are as they were."""
    names = ("resnet50", "modern_recipe", "stage_ratio", "patchify_stem")
    short = [
        make_record(
            step,
            60.0 + number + seed,
            seed,
            recipe="classic" if not number else "modern",
            config=epochs_config(2, seed) if number else {"seed": seed, "recipe": {"epochs": 2, "weight_decay": 5e-5}},
        )
        for number, step in enumerate(names)
        for seed in range(3)
    ]
    longer = [
        make_record(step, 80.0 + seed, seed, config=epochs_config(6, seed), ended="2026-01-01T00:00:00+00:00")
        for step in ("patchify_stem", "depthwise_conv")
        for seed in range(3)
    ]
    write_runs(tmp_path, *short, *longer)
    rows = {row.variant: row for row in build_rows(select(tmp_path).records.values()) if row.n}
    assert {name: row.difference for name, row in rows.items()} == {
        "resnet50": None,
        "modern_recipe": None,  # the recipe has another name: which of its settings belong to the step is unknown
        "stage_ratio": 1.0,
        "patchify_stem": None,
        "depthwise_conv": 0.0,
    }
    assert all(row.start_difference is None for row in rows.values())
    assert {row.pooled_df for row in rows.values()} == {2, 4}
    assert {row.mixed_settings for row in rows.values()} == {"recipe.epochs"}
    assert "differ in recipe.epochs though their recipe has one name" in to_markdown(list(rows.values()))
    text = answer(list(rows.values()), "Digits, 2 and 6 epochs, size micro")
    assert "none of 2 steps changes top-1 significantly. Rows of this table differ in recipe.epochs" in text
    whole = {row.variant: row.difference for row in build_rows(select(tmp_path).records.values(), compares_all=True)}
    assert whole["patchify_stem"] == 18.0


def test_where_restricts_table_figures_and_report(runs, tmp_path):
    where = ("--where", "seed==0 and variant in ['modern_recipe', 'stage_ratio']")
    rows = [row for row in json.loads(run_command("table", runs, *where, "--json").stdout) if row["n"]]
    assert [(row["variant"], row["top1s"]) for row in rows] == [("modern_recipe", [90.0]), ("stage_ratio", [92.0])]
    result = run_command("figures", runs, "--out", tmp_path / "figures", "--curves", "gelu", *where)
    assert "there is no record of 'gelu'; allowed: modern_recipe, stage_ratio" in result.stderr
    out = tmp_path / "report.html"
    result = run_command("report", runs, "--out", out, *where)
    assert result.returncode == 0
    assert "modern_recipe" in out.read_text()
    assert "move_up_depthwise+kernel_size" not in out.read_text()
    result = run_command("table", runs, "--where", "seed==77")
    assert result.returncode == 2
    assert 'there is no finished record that matches "seed==77" below' in result.stderr


def test_report_merges_folders_of_runs_into_one_study(tmp_path):
    write_runs(tmp_path / "here", gelu(60.0, 0), gelu(61.0, 1))
    write_runs(tmp_path / "there", gelu(61.0, 1), gelu(65.0, 2))
    [study] = load_studies([], merged=[tmp_path / "here", tmp_path / "there"])
    assert (study.name, [record.top1 for record in study.records.values()]) == ("here + there", [60.0, 61.0, 65.0])
    assert study.excluded == ["there/0/record.json: gelu with seed 1 a second time; the first is here/1/record.json"]
    out = tmp_path / "report.html"
    assert run_command("report", "--runs", tmp_path / "here", tmp_path / "there", "--out", out).returncode == 0
    assert "modernet report --runs here there" in out.read_text()
