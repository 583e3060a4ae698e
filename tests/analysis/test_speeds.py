"""Speeds of scripts/benchmark.py in the table of costs and in plans."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import run_command

from modernet import roadmap
from modernet.analysis.speeds import load_speeds, speeds_of_size
from modernet.config.identity import network_hash
from modernet.errors import UserError


def write_benchmark(folder: Path, device: str = "cpu", size: str = "micro", rate: float = 50.0, **change) -> None:
    """A file as scripts/benchmark.py writes it, with two steps."""
    rows = [
        {
            "step": step,
            "size": size,
            "network": network_hash(roadmap(size)[step]),
            "pixels": 224,
            "batch": 4,
            "gmacs": gmacs,
            "train_images_per_second": rate,
            "inference_images_per_second": 3 * rate,
            "latency_ms": 7.5,
            "rounds": {"train_images_per_second": [rate], "latency_ms": [7.5]},
            "memory_mib_per_image": None,
        }
        | change
        for step, gmacs in (("gelu", 0.1), ("convnext", 0.2))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    part = {"about": {"device": device, "threads": 2, "commit": "abc"}, "rows": rows}
    (folder / f"{device}.json").write_text(json.dumps({"parts": {"steps": part}}))


def test_speeds_are_those_of_one_device_and_size(tmp_path):
    write_benchmark(tmp_path, "cpu", "t")
    write_benchmark(tmp_path, "H100", "micro")
    write_benchmark(tmp_path, "H200", "micro", rate=99.0)
    speeds = load_speeds(tmp_path)
    assert {step: speed.device for step, speed in speeds_of_size(speeds, "micro").items()} == {
        "gelu": "H100",
        "convnext": "H100",
    }
    assert speeds_of_size(speeds, "micro", "H200")["gelu"].train_images_per_second == 99.0
    assert speeds_of_size(speeds, "b") == {}
    assert load_speeds(tmp_path / "absent") == []


@pytest.mark.parametrize("text", ["", "[]", '{"parts": 1}', '{"parts": {"steps": {"about": {}, "rows": [{}]}}}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "cpu.json").write_text(text)
    with pytest.raises(UserError, match=r"cpu\.json is no file of scripts/benchmark\.py"):
        load_speeds(tmp_path)


def test_table_of_costs_has_the_speeds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_benchmark(tmp_path / "results/benchmarks")
    text = run_command("costs", "--size", "micro").stdout
    gelu, start = (next(line for line in text.splitlines() if f"| {step} " in line) for step in ("gelu", "resnet50"))
    assert [cell.strip() for cell in gelu.split("|")[-5:-1]] == ["50.0", "150.0", "7.5", ""]
    assert [cell.strip() for cell in start.split("|")[-5:-1]] == ["", "", "", ""]
    assert "Speeds: cpu (2 threads), 224 x 224, batch 4" in text
    refused = run_command("costs", "--size", "micro", "--device", "H100")
    assert refused.returncode == 2
    assert "--device H100 has no speeds of size micro in results/benchmarks; measured: cpu" in refused.stderr


def test_plan_uses_the_speeds_where_there_are_no_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_benchmark(tmp_path / "results/benchmarks", "H100", "t", rate=1000.0)
    command = ("plan", "+step=gelu,layer_norm", "protocol=imagenet", "size=t", "--device", "H100")
    text = run_command(*command).stdout
    gelu, other = (next(line for line in text.splitlines() if f"| {step}" in line) for step in ("gelu", "layer_norm"))
    assert "benchmark" in gelu
    assert "GMACs, at 150 GMACs/s of other networks" in other


def test_speeds_of_two_processors_are_not_mixed(tmp_path):
    write_benchmark(tmp_path, "cpu", rate=50.0)
    laptop = load_speeds(tmp_path)
    server = [replace(speed, threads=64, train_images_per_second=5000.0) for speed in laptop]
    found = speeds_of_size([*laptop, server[0]], "micro", "cpu")
    assert {speed.train_images_per_second for speed in found.values()} == {50.0}
