"""The record of a run: what it keeps, and whether it ends the run."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from records import make_record, write_runs

from modernet.errors import UserError
from modernet.record import (
    SCHEMA_VERSION,
    find_record,
    find_result,
    load_record,
    load_records,
    parse_record,
    write_record,
)
from modernet.runtime.file_names import RECORD_FILE

DONE = make_record("gelu", 90.0)
FAILED = replace(DONE, status="failed", top1=None, top5=None, val_loss=None, reason="the loss is not finite")


@pytest.mark.parametrize("record", [DONE, FAILED], ids=["done", "failed"])
def test_written_record_loads_unchanged(record, tmp_path):
    path = write_record(tmp_path, record)
    assert path == tmp_path / RECORD_FILE
    assert load_record(path) == find_record(tmp_path) == record
    assert load_record(path).hash == record.hash


@pytest.mark.parametrize("retry_failed", [False, True])
def test_find_result_is_none_where_the_run_has_not_ended(tmp_path, retry_failed):
    assert find_result(tmp_path, retry_failed) is None
    assert find_result(tmp_path / "absent", retry_failed) is None


@pytest.mark.parametrize("retry_failed", [False, True])
def test_find_result_is_the_record_of_a_finished_run(tmp_path, retry_failed):
    write_record(tmp_path, DONE)
    assert find_result(tmp_path, retry_failed) == DONE


def test_find_result_of_a_failed_run_is_none_only_with_retry_failed(tmp_path):
    write_record(tmp_path, FAILED)
    assert find_result(tmp_path, retry_failed=False) == FAILED
    assert find_result(tmp_path, retry_failed=True) is None


def write_values(folder: Path, **changes: object) -> Path:
    """Write a record with these raw values."""
    path = write_record(folder, DONE)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


@pytest.mark.parametrize("retry_failed", [False, True])
def test_find_result_rejects_a_damaged_record(tmp_path, retry_failed):
    path = write_values(tmp_path, status="finished")
    with pytest.raises(
        UserError, match=r"is not a record .*'done' or 'failed'.*; delete the file to train the run again"
    ):
        find_result(tmp_path, retry_failed)
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match=r"is not a record .*not a JSON object"):
        find_result(tmp_path, retry_failed)


def test_record_of_another_schema_version_is_rejected(tmp_path):
    path = write_values(tmp_path, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(
        ValueError, match=f"schema_version is {SCHEMA_VERSION + 1}, this modernet reads {SCHEMA_VERSION}"
    ):
        load_record(path)


def test_record_with_an_unknown_field_is_rejected(tmp_path):
    with pytest.raises(ValueError, match="colour"):
        load_record(write_values(tmp_path, colour="red"))


@pytest.mark.parametrize("section", ["model", "recipe", "data"])
@pytest.mark.parametrize("value", [[], None, "relu"])
def test_record_without_a_section_of_its_config_is_rejected(tmp_path, section, value):
    path = write_values(tmp_path, config=DONE.config | {section: value})
    with pytest.raises(ValueError, match=f"config.{section} must be an object"):
        load_record(path)
    assert load_records(tmp_path).rejected == [f"{path}: not a record (config.{section} must be an object)"]


def test_record_of_another_run_is_rejected(tmp_path):
    """As in a folder that was copied and renamed."""
    write_record(tmp_path, DONE)
    assert find_result(tmp_path, False, DONE.hash) == DONE
    with pytest.raises(UserError, match=rf"is the record of another run \({DONE.hash} instead of 0123456789\)"):
        find_result(tmp_path, False, "0123456789")


def make_link(path: Path) -> None:
    path.symlink_to("absent")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, make_link])
def test_record_that_is_no_regular_file_is_refused_by_name(tmp_path, make):
    """A pipe would be read forever; beside a folder the run would be trained before it fails to write its record."""
    make(tmp_path / RECORD_FILE)
    with pytest.raises(UserError, match=r"record.json is not a record \(not a regular file\)"):
        find_record(tmp_path)
    assert load_records(tmp_path).records == {}


def test_records_behind_links_are_found_once(tmp_path):
    """As where runs were moved to another disk; a link that leads back to its own folder ends."""
    elsewhere = tmp_path / "disk/digits"
    for number in range(2):
        (elsewhere / str(number)).mkdir(parents=True)
        write_record(elsewhere / str(number), make_record("gelu", 60.0, number))
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "digits").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "back").symlink_to(runs, target_is_directory=True)
    found = load_records(runs)
    assert list(found.records) == [runs / "digits/0/record.json", runs / "digits/1/record.json"]
    assert found.rejected == []


def test_a_folder_that_may_not_be_read_is_named_and_one_that_is_not_there_is_not(tmp_path, monkeypatch):
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        write_record(tmp_path / str(number), make_record("gelu", 60.0, number))
    scandir = os.scandir

    def refuse(path):  # root may read everything
        if Path(path).name == "1":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = load_records(tmp_path)
    assert list(found.records) == [tmp_path / "0/record.json"]
    assert found.rejected == [f"{tmp_path / '1'}: Permission denied"]
    assert load_records(tmp_path / "none").rejected == []


@pytest.mark.parametrize("text", ["NaN", "[]", "null", '"x"', "{", "\0\0"])
def test_a_text_that_is_no_json_object_is_no_record(text):
    with pytest.raises(ValueError, match=r"^not a JSON object"):
        parse_record(text)


def test_a_record_whose_fields_contradict_each_other_is_none():
    values = asdict(make_record("gelu", 60.0))
    with pytest.raises(ValueError, match=r"^seed is 7, and 0 in config$"):
        parse_record(json.dumps(values | {"seed": 7}))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("top1", -5.0, "should be greater than or equal to 0"),
        ("top5", 100.5, "should be less than or equal to 100"),
        ("top1", float("nan"), "should be a finite number"),
        ("gmacs", float("nan"), "should be a finite number"),
        ("gmacs", 0.0, "should be greater than 0"),
        ("params", -3, "should be greater than 0"),
        ("images_per_second", float("nan"), "should be a finite number"),
        ("train_seconds", -5.0, "should be greater than or equal to 0"),
    ],
)
def test_a_record_with_an_impossible_value_is_none(field, value, message):
    """Damaged costs would make the intact records of a name another configuration."""
    values = asdict(make_record("gelu", 60.0))
    with pytest.raises(ValueError, match=rf"^{field} Input {message}$"):
        parse_record(json.dumps(values | {field: value}))


def test_a_link_that_leads_nowhere_is_reported(tmp_path):
    """A run, or all runs of a protocol, on a disk that is not mounted."""
    (path,) = write_runs(tmp_path, make_record("gelu", 60.0))
    (tmp_path / "server").symlink_to(tmp_path / "absent")
    (path.parent / "wandb").mkdir()
    for link in ("model.pt", "wandb/debug.log"):  # no folder of a run
        (path.parent / link).symlink_to(tmp_path / "absent")
    records, rejected = load_records(tmp_path)
    assert list(records) == [path]
    assert rejected == [f"{tmp_path / 'server'}: a link that leads nowhere"]
