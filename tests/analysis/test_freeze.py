"""Freezing a study: evidence without weights, with the table and figures that follow from it."""

import json
from pathlib import Path

from helpers import run_command
from records import TABLE_RECORDS, make_record, write_runs, write_study

from modernet.analysis.selection import select
from modernet.analysis.table import build_rows
from modernet.analysis.table_text import to_markdown
from modernet.config.search_path import VARIABLE
from modernet.record import load_record


def test_freeze_copies_records_without_weights_and_adds_to_a_study(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def freeze(*arguments: object):
        return run_command("freeze", *arguments, "--runs", runs)

    result = freeze("mine", "--protocol", "cifar10_micro")
    assert result.stdout.strip() == "results/studies/mine/table.md"
    study = tmp_path / "results/studies/mine"
    files = sorted(path.name for path in study.rglob("*.*") if path.parent.name != "figures")
    assert files == ["metrics.jsonl", "record.json", "table.csv", "table.md"]
    assert "skipped: cifar10_micro, size micro: no figures: gelu is its only variant" in result.stderr
    assert "60.00" in (study / "table.md").read_text()

    assert freeze("mine").returncode == 0
    assert len(list(study.rglob("record.json"))) == len(TABLE_RECORDS)
    table = to_markdown(build_rows(select(runs).records.values()))
    assert table in (study / "table.md").read_text()
    assert (study / "figures/digits-micro-roadmap.svg").is_file()


def test_freezing_a_study_from_itself_writes_its_table_again(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_command("freeze", "mine", "--runs", runs, "--protocol", "cifar10_micro")
    table = tmp_path / "results/studies/mine/table.md"
    before = table.read_text()
    table.unlink()
    result = run_command("freeze", "mine", "--runs", table.parent)
    assert (result.returncode, result.stdout.strip()) == (0, "results/studies/mine/table.md")
    assert table.read_text() == before


def test_the_commands_in_a_frozen_table_name_the_configs_of_the_user(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "")  # that the command sets
    (tmp_path / "a/mine").mkdir(parents=True)
    assert run_command("freeze", "s", "--runs", runs, "--config-dir", "a/mine").returncode == 0
    first = (tmp_path / "results/studies/s/table.md").read_text().splitlines()[0]
    assert "`modernet table results/studies/s --config-dir a/mine`" in first


def test_a_frozen_record_has_no_path_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = write_study(tmp_path / "runs", [make_record("gelu", 60.0, overrides=("seed=0", f"data.root={tmp_path}"))])
    assert run_command("freeze", "mine", "--runs", runs).returncode == 0
    (path,) = (tmp_path / "results/studies/mine").rglob("record.json")
    assert json.loads(path.read_text())["overrides"] == ["seed=0", f"data.root={tmp_path.name}"]


def test_freeze_replaces_no_other_run_and_no_other_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "results/studies/mine"
    for name, record in {
        "a": make_record("gelu", 60.0),
        "b": make_record("convnext", 60.0),
        "c": make_record("gelu", 61.0),
    }.items():
        write_runs(tmp_path / name, record, *([make_record("layer_norm", 70.0)] if name == "b" else []))
    assert run_command("freeze", "mine", "--runs", "a").returncode == 0
    before = {path: path.read_bytes() for path in study.rglob("*.json")}
    for name, message in (("b", "are records of different runs in folders of one name"), ("c", "one run disagree")):
        result = run_command("freeze", "mine", "--runs", name)
        assert result.returncode == 2
        assert message in result.stderr
        assert result.stderr.endswith("Nothing was copied\n")
        assert {path: path.read_bytes() for path in study.rglob("*.json")} == before


def test_a_frozen_table_names_failed_runs_until_they_are_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    path, *_ = write_runs(
        runs, *(make_record(step, 70.0 + seed, seed) for step in ("gelu", "convnext") for seed in (0, 1))
    )
    content = path.read_text()
    reason = f"the loss is not finite; last good checkpoint: {runs}/a b/checkpoint-1.pt (see /tmp/x.log)"
    path.write_text(json.dumps(json.loads(content) | {"status": "failed", "reason": reason, "top1": None}))
    note = "Failed runs, which are in no mean: gelu with seed 0 (digits, size micro)."
    for _ in range(2):
        assert run_command("freeze", "mine", "--runs", runs).returncode == 0
        assert note in Path("results/studies/mine/table.md").read_text()
        assert run_command("freeze", "mine", "--runs", "results/studies/mine").returncode == 0
    (frozen,) = (load_record(found) for found in Path("results").rglob("record.json") if "failed" in found.read_text())
    assert frozen.reason == "the loss is not finite; last good checkpoint: a b/checkpoint-1.pt (see x.log)"
    assert run_command("table", runs, "results/studies/mine").stdout.count("gelu with seed 0") == 1
    assert note in Path("results/studies/mine/table.md").read_text()
    assert note in run_command("table", runs, "--latex").stdout
    other = tmp_path / "other/0"
    other.mkdir(parents=True)
    (other / "record.json").write_text(content)
    assert note not in run_command("table", runs, tmp_path / "other").stdout, "the run is done in the other folder"
    path.write_text(content)
    assert run_command("freeze", "mine", "--runs", runs).returncode == 0
    table = Path("results/studies/mine/table.md").read_text()
    assert "Failed runs" not in table
    path.write_text(json.dumps(json.loads(content) | {"status": "failed", "reason": "it broke", "top1": None}))
    assert run_command("freeze", "mine", "--runs", runs).returncode == 0
    assert Path("results/studies/mine/table.md").read_text() == table, "a run that is done in the study stays"


def test_freeze_takes_folders_of_single_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in write_runs(tmp_path / "runs", *(make_record("gelu", 60.0 + seed, seed) for seed in range(3))):
        assert run_command("freeze", "mine", "--runs", path.parent).returncode == 0
    folder = tmp_path / "results/studies/mine/digits"
    assert sorted(path.parent.name for path in folder.rglob("record.json")) == ["0", "1", "2"]


def test_freeze_rejects_names_that_are_paths(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("../elsewhere", "a/b", ""):
        assert run_command("freeze", name, "--runs", runs).returncode == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


def test_tuning_has_tables_and_no_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = ("kernel_size", "gelu", "layer_norm")
    variants = [(step, f"{step}{change}") for step in steps for change in ("", "+data.split=train/val")]
    records = [
        make_record(step, 60.0 + 3 * number + seed / 10, seed, variant)
        for number, (step, variant) in enumerate(variants)
        for seed in range(3)
    ]
    assert run_command("freeze", "mine", "--runs", write_study(tmp_path / "runs", records)).returncode == 0
    study = tmp_path / "results/studies/mine"
    assert "data.split=train/val" in (study / "table.md").read_text()
    names = [path.name for path in (study / "figures").iterdir()]
    assert names
    assert not any("split" in name for name in names)


def test_a_run_without_a_learning_curve_is_copied_and_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = write_study(tmp_path / "runs", [make_record(step, 60.0) for step in ("kernel_size", "gelu", "convnext")])
    for path in runs.rglob("metrics.jsonl"):
        if "gelu" in path.parent.name:
            path.unlink()
    result = run_command("freeze", "mine", "--runs", runs)
    assert result.returncode == 0
    assert result.stderr.count("has no metrics.jsonl: its learning curve is not copied") == 1
    assert len(list((tmp_path / "results/studies/mine").rglob("record.json"))) == 3
