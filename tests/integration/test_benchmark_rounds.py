"""scripts/benchmark.py writes the value of every round, and its page has the numbers computed from these values."""

import json
import sys
from collections import defaultdict
from itertools import count
from pathlib import Path
from statistics import median

import benchmark
import pytest
import torch
from benchmarks import commands, growth, networks, overhead, rows, sweeps
from benchmarks.measuring import measure_in_turn
from helpers import ROOT
from torch import nn

from modernet import roadmap

COMMITTED = sorted((ROOT / "results/benchmarks").glob("*.json"))
CPU = torch.device("cpu")
OURS = [100.123456, 300.123456, 200.123456, 50.0, 400.0, 350.0, 250.0, 150.0]
THEIRS = [50.0, 100.0, 200.0, 40.0, 100.0, 111.11111, 80.0, 90.0]


def replay(values):
    """A contestant with these rates; its first round warms up."""
    rates = iter([1e9, *values])
    return lambda: next(rates)


def counting():
    """A contestant with the rates 11, 12, ... after a first round of 10."""
    rates = count(10)
    return lambda: float(next(rates))


def compared(settings):
    rates = measure_in_turn({"ours": replay(OURS), "theirs": replay(THEIRS)}, settings.rounds)
    return [rows.compare("a race", "images/s", rates, "ours")]


def timed(settings):
    (values,) = measure_in_turn({"seconds": replay(OURS)}, settings.rounds).values()
    return [{"what": "a command", **rows.fields_of_rounds({"seconds": values}), "to_reach": 1.5}]


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """Measure parts by the command, in an empty folder; returns the paths of the JSON file and of the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(benchmark, "keep_freed_memory", lambda: None)  # it would last for all later tests
    monkeypatch.setattr(benchmark, "PARTS", {"compared": compared, "timed": timed})

    def run(*parts: str) -> tuple[Path, Path]:
        arguments = ["--device", "cpu", "--rounds", str(len(OURS)), "--parts", ",".join(parts)]
        monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments])
        benchmark.main()
        return tmp_path / "results/benchmarks/cpu.json", tmp_path / "results/benchmarks/cpu.md"

    return run


def row_of(path: Path, part: str):
    (row,) = json.loads(path.read_text())["parts"][part]["rows"]
    return row


def cells(page: Path, *start: str) -> list[str]:
    """The other cells of the line that starts with these."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines()]
    (found,) = [line[len(start) :] for line in lines if line[: len(start)] == list(start)]
    return found


def test_every_round_of_a_comparison_is_in_the_file_and_gives_its_numbers(measure):
    row = row_of(measure("compared")[0], "compared")
    ours, theirs = row["rounds"]["ours"], row["rounds"]["theirs"]
    assert ours == [100.12, 300.12, 200.12, 50.0, 400.0, 350.0, 250.0, 150.0]
    assert theirs == [50.0, 100.0, 200.0, 40.0, 100.0, 111.11, 80.0, 90.0]
    assert row["rates"] == {
        "ours": {"median": (200.12 + 250) / 2, "min": 50.0, "max": 400.0},
        "theirs": {"median": (90.0 + 100.0) / 2, "min": 40.0, "max": 200.0},
    }
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    assert row["ours"] == "ours"
    assert row["ratios"] == {"theirs": median(ratios)}
    assert row["intervals"] == {"theirs": [ratios[0], ratios[-1]]}  # for 8 values the only one that covers 95 %


def test_every_round_of_a_field_is_in_the_file_and_gives_its_median(measure):
    path, page = measure("timed")
    row = row_of(path, "timed")
    assert row["rounds"] == {"seconds": [100.12, 300.12, 200.12, 50.0, 400.0, 350.0, 250.0, 150.0]}
    assert row["seconds"] == (200.12 + 250) / 2
    assert cells(page, "what") == ["seconds", "to_reach"]
    assert cells(page, "a command") == ["225.1", "1.5"]


def test_page_is_computed_from_rounds_and_from_the_stored_summary_where_a_row_has_none(measure):
    path, page = measure("compared")
    original = cells(page, "a race", "ours"), cells(page, "a race", "theirs")
    assert original == (
        ["225.1", "50.0 to 400.0", "images/s", "", ""],
        ["95.0", "40.0 to 200.0", "images/s", "2.502", "1.001 to 4.000"],
    )
    content = json.loads(path.read_text())
    (row,) = content["parts"]["compared"]["rows"]
    row["rates"]["theirs"] = {"median": 7.0, "min": 6.0, "max": 8.0}
    row["ratios"]["theirs"], row["intervals"]["theirs"] = 5.0, [4.0, 6.0]
    path.write_text(json.dumps(content))
    measure("timed")
    assert (cells(page, "a race", "ours"), cells(page, "a race", "theirs")) == original

    del row["rounds"], row["ours"]
    path.write_text(json.dumps(content))
    measure("timed")
    assert cells(page, "a race", "theirs") == ["7.0", "6.0 to 8.0", "images/s", "5.000", "4.000 to 6.000"]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_committed_page_has_the_numbers_of_the_committed_file(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    benchmark.write_results(tmp_path / path.name, json.loads(path.read_text())["parts"])
    assert (tmp_path / path.name).read_text() == path.read_text()
    assert (tmp_path / path.name).with_suffix(".md").read_text() == path.with_suffix(".md").read_text()


def measure_few_steps(monkeypatch):
    monkeypatch.setattr(networks, "roadmap", lambda size: {"gelu": roadmap(size)["gelu"]})
    return networks.measure_steps("micro", CPU, 1, 32, rounds=4)


def compare_one_end(monkeypatch):
    monkeypatch.setattr(networks, "built_each_round", lambda build: build())
    monkeypatch.setattr(networks, "step_memory", lambda *_: 2.0)
    monkeypatch.setattr(networks, "build_model", lambda _: nn.Linear(1, 1))
    return networks.compare_ends("convnext", "t", {}, CPU, 1, 8, steps=1, rounds=4)


def grow_one_axis(monkeypatch):
    monkeypatch.setattr(growth, "built_each_round", lambda build: build())
    monkeypatch.setattr(growth, "build_model", lambda _: nn.Linear(1, 1))
    return growth.measure_growth(CPU, 4, 8, rounds=4)


def time_no_commands(monkeypatch):
    contestants = defaultdict(counting)
    monkeypatch.setattr(commands, "seconds", lambda *words: contestants[words]())
    return commands.time_commands(rounds=4)[:1]


VALUES = [11.0, 12.0, 13.0, 14.0]
INVERSE = [90.909, 83.333, 76.923, 71.429]  # 1000 / VALUES
PAIR = {"modernet": VALUES, networks.CONTROL: VALUES}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            measure_few_steps,
            [{"train_images_per_second": VALUES, "inference_images_per_second": VALUES, "latency_ms": INVERSE}],
        ),
        (compare_one_end, [PAIR, PAIR, {"modernet": [512.0], networks.CONTROL: [512.0]}]),
        (grow_one_axis, [{"ms_per_image": INVERSE}] * 16),
        (time_no_commands, [{"seconds": VALUES}]),
    ],
)
def test_parts_keep_the_values_of_all_rounds(monkeypatch, part, expected):
    for module in (networks, growth):
        monkeypatch.setattr(module, "step_memory", lambda *_: None)
        monkeypatch.setattr(module, "train_contestant", lambda *_: counting())
    monkeypatch.setattr(networks, "inference_contestant", lambda *_: counting())
    measured = part(monkeypatch)
    assert [row["rounds"] for row in measured] == expected
    for row in measured:
        medians = {name: rate["median"] for name, rate in row["rates"].items()} if "rates" in row else row
        for name, values in row["rounds"].items():
            assert medians[name] == median(values)


def test_sweeps_keep_the_values_of_all_rounds(monkeypatch):
    monkeypatch.setattr(sweeps, "runs_per_hour", lambda *_: counting())
    (row,) = sweeps.measure_sweeps(rounds=4)
    assert set(map(tuple, row["rounds"].values())) == {tuple(VALUES)}


@pytest.mark.slow
def test_overhead_keeps_the_values_of_all_rounds():
    row = overhead.fit_against_loop("cifar10_micro", "convnext", CPU, steps=1, rounds=2)
    assert {name: len(values) for name, values in row["rounds"].items()} == {"fit": 2, "bare loop": 2}
