"""Selection of the records that can be compared; every excluded file is reported with a reason."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from helpers import run_command
from records import TABLE_RECORDS, make_record

from modernet.analysis.selection import select
from modernet.record import load_record, write_record


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
    }
    records = {
        "failed": make_record("gelu", 0.0, status="failed"),
        "no_top1": make_record("gelu", None),
        "nan": make_record("gelu", float("nan")),
        "unknown_step": make_record("swin", 1.0),
        "unknown_size": make_record("gelu", 1.0, size="xxl"),
        "other_config": make_record("stage_ratio", 10.0, 9, config={"seed": 9, "model": {"act": "other"}}),
        "repeated": make_record("stage_ratio", 10.0, 0),
    }
    hint = "is it from another version, or from configs that --config-dir names?"
    reasons = {
        "broken": "not a record (not a JSON object: Expecting ',' delimiter",
        "binary": "not a record (not a JSON object: Expecting value",
        "unknown_field": "not a record (colour Unexpected keyword argument)",
        "missing_fields": "not a record (size Field required, top5 Field required)",
        "old_version": "not a record (schema_version is 1, this modernet reads 2)",
        "directory": "not a record ([Errno 21] Is a directory",
        "failed": "failed",
        "no_top1": "done, with a top-1 of None",
        "nan": "done, with a top-1 of nan",
        "unknown_step": f"there is no step 'swin' here; {hint}",
        "unknown_size": f"there is no size 'xxl' here; {hint}",
        "other_config": "another configuration with the name stage_ratio",
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
    for seed, config in enumerate(({"model": {}, "recipe": {}}, {"model": {}, "recipe": {}} | written_out)):
        (tmp_path / str(seed)).mkdir()
        write_record(tmp_path / str(seed), make_record("gelu", 1.0, seed, config=config | {"seed": seed}))
    assert len(select(tmp_path).records) == 2


def test_an_undeclared_metric_leaves_a_record_valid(tmp_path):
    record = replace(make_record("gelu", 71.25), metrics={"peak_memory": 100.0, "from_a_fork": 1.0})
    assert load_record(write_record(tmp_path, record)) == record
    assert select(tmp_path).excluded == []
