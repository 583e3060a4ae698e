"""Curves by step are read from steps.jsonl, thinned to a number of points."""

import json
from pathlib import Path

import pytest

from modernet.report.step_curves import load_step_curves


def write_steps(folder: Path, rows: list) -> Path:
    (folder / "steps.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder / "record.json"


def test_absent_values_are_none_and_values_that_no_line_has_are_absent(tmp_path):
    record = write_steps(tmp_path, [{"step": 1, "epoch": 1, "lr": 0.1}, {"step": 2, "train_loss": 1.23456789}])
    assert load_step_curves(record, 10) == {
        "step": [1, 2],
        "epoch": [1, None],
        "train_loss": [None, 1.2346],
        "lr": [0.1, None],
    }


def test_long_curves_keep_their_last_step_and_even_distances(tmp_path):
    record = write_steps(tmp_path, [{"step": step, "lr": 0.1} for step in range(1, 1001)])
    steps = load_step_curves(record, 100)["step"]
    assert steps == list(range(10, 1001, 10))
    assert load_step_curves(record, 1000)["step"] == list(range(1, 1001))


def test_nan_is_a_missing_value_of_a_curve(tmp_path):
    record = write_steps(tmp_path, [{"step": 1, "train_loss": float("nan")}])
    assert load_step_curves(record, 10) == {"step": [1], "train_loss": [None]}


def test_a_run_without_the_file_has_no_curves_and_a_damaged_file_is_an_error(tmp_path):
    assert load_step_curves(tmp_path / "record.json", 10) == {}
    for damaged in ("text", {"epoch": 1}):
        with pytest.raises(ValueError, match="without a step"):
            load_step_curves(write_steps(tmp_path, [damaged]), 10)
