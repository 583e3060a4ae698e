"""What wandb keeps is what was trained, and no trouble of wandb's costs a run."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, run_script
from test_train import record_of
from wandb.proto import wandb_internal_pb2 as proto

QUICK = ("recipe.epochs=3", "recipe.warmup_epochs=1", "recipe.batch_size=256")


BLOCK = 32_768  # bytes
HEADER = struct.Struct("<4sHB")  # of the file: name, magic number, version
CHUNK = struct.Struct("<IHB")  # checksum, length, kind: a whole record (1), or its first part, middle or last


def read_back(path: Path) -> list:
    """Every record of an offline .wandb file, which is a log in LevelDB's format of protobuf messages."""
    content = path.read_bytes()
    assert HEADER.unpack_from(content)[0] == b":W&B"
    records, parts, place = [], b"", HEADER.size
    while place + CHUNK.size <= len(content):
        if BLOCK - place % BLOCK < CHUNK.size:  # the rest of a block that holds no chunk
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = CHUNK.unpack_from(content, place)
        parts += content[place + CHUNK.size : place + CHUNK.size + length]
        place += CHUNK.size + length
        if kind in (1, 4):
            records.append(proto.Record.FromString(parts))  # pyright: ignore[reportAttributeAccessIssue]
            parts = b""
    return records


def values(items) -> dict:
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def offline_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("run-*.wandb"))


def epochs_of(path: Path) -> list[dict]:
    return [values(one.history.item) for one in read_back(path) if one.HasField("history")]


def test_an_offline_run_holds_config_epochs_and_summary(train, tmp_path):
    record = record_of(train("+step=gelu", "wandb=offline", *QUICK))
    (path,) = offline_files(tmp_path)
    records = read_back(path)
    info = next(one.run for one in records if one.HasField("run"))
    assert info.display_name == f"{record['variant']}-s0"
    assert info.run_group == f"digits/{record['variant']}"
    assert list(info.tags) == ["gelu"]
    config = values(info.config.update)
    assert config["model"] == record["config"]["model"]
    assert config["recipe"] == record["config"]["recipe"]

    metrics = [json.loads(line) for line in next(tmp_path.rglob("metrics.jsonl")).read_text().splitlines()]
    for logged, epoch in zip(epochs_of(path), metrics, strict=True):
        assert {name: logged[name] for name in epoch} == epoch
    summary: dict = {}
    for one in records:
        if one.HasField("summary"):
            summary |= values(one.summary.update)
    for name in ("top1", "top5", "gmacs", "params", "images_per_second"):
        assert summary[name] == pytest.approx(record[name])
    assert "epoch" in {one.metric.step_metric for one in records if one.HasField("metric")}
    assert [one.exit.exit_code for one in records if one.HasField("exit")] == [0]


def test_a_sweep_never_mixes_two_runs(train, tmp_path):
    assert train("-m", "+step=gelu", "seed=0,1", "wandb=offline", *QUICK).returncode == 0
    files = offline_files(tmp_path)
    assert len({path.stem for path in files}) == 2
    assert [len(epochs_of(path)) for path in files] == [3, 3]


@pytest.mark.slow
def test_a_resumed_run_goes_on_as_the_same_wandb_run(tmp_path):
    command = [sys.executable, "train.py", "+step=gelu", "recipe.epochs=4", f"runs={tmp_path}", "checkpoint_minutes=0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(path.stat().st_size for path in tmp_path.rglob("metrics.jsonl")):
        assert process.poll() is None
    process.terminate()
    assert process.wait() == 143
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    files = offline_files(tmp_path)
    assert len(files) == 2
    assert files[0].name == files[1].name  # run-ID.wandb
    assert sorted(epoch["epoch"] for path in files for epoch in epochs_of(path)) == [1, 2, 3, 4]
    exits = [one.exit.exit_code for path in files for one in read_back(path) if one.HasField("exit")]
    assert sorted(exits) == [0, 1]


def test_offline_is_the_default_and_disabled_leaves_nothing(train, tmp_path):
    assert "\nwandb: offline" in (ROOT / "configs/config.yaml").read_text()
    assert train("+step=gelu", *QUICK, "wandb=disabled").returncode == 0
    assert not list(tmp_path.rglob("*wandb*"))


def test_a_broken_installation_is_said_and_costs_nothing(tmp_path):
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb/__init__.py").write_text("raise ImportError('no such luck')")
    command = ("train.py", "+step=gelu", *QUICK, f"runs={tmp_path / 'runs'}")
    result = run(*command, environment={"PYTHONPATH": str(tmp_path)})
    assert record_of(result)["status"] == "done"
    assert "wandb could not start (no such luck); the training goes on without it" in result.stderr


def test_an_unknown_mode_is_refused(train):
    result = train("wandb=sometimes")
    assert result.returncode == 2
    assert "wandb must be one of offline, online, disabled, got 'sometimes'" in result.stderr
