"""The record says when, where and with what a run was trained."""

import json
import platform
import signal
import socket
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from helpers import printed_record
from ranks import end, start, wait_for_step

from modernet.record import Record, find_record, load_record
from modernet.runtime.file_names import METRICS_FILE

QUICK = ("recipe.epochs=2", "recipe.warmup_epochs=0", "recipe.batch_size=479")  # 3 steps


def test_record_says_when_where_and_with_what_a_run_was_trained(train_in_process, tmp_path):
    before = datetime.now(UTC).replace(microsecond=0)
    arguments = ("+step=gelu", *QUICK, "seed=3")
    record = printed_record(train_in_process(*arguments))
    assert before <= datetime.fromisoformat(record["started"]) <= datetime.fromisoformat(record["ended"])
    assert datetime.fromisoformat(record["ended"]) <= datetime.now(UTC)
    assert record["host"] == socket.gethostname()
    assert record["cpu"]
    has_gpu = torch.cuda.is_available()
    assert record["gpus"] == ([torch.cuda.get_device_name()] if has_gpu else [])
    versions = record["versions"]
    assert (versions["python"], versions["torch"]) == (platform.python_version(), torch.__version__)
    for name in ("modernet", "torchvision", "numpy", "pillow", "scikit-learn", "hydra-core"):
        assert versions[name] == version(name)
    assert ("cuda" in versions) == ("cudnn" in versions) == has_gpu
    assert record["overrides"] == [*arguments, "wandb=disabled", f"runs={tmp_path / 'runs'}"]
    if sys.platform == "linux":
        assert record["peak_host_memory"] > 100  # MiB; torch alone takes more


def test_record_has_the_best_epoch_beside_the_last(train_in_process):
    result = train_in_process("+step=gelu", *QUICK, "recipe.epochs=5", "recipe.lr=0.05")
    record = printed_record(result)
    lines = Path(result.stdout.splitlines()[-1]).with_name(METRICS_FILE).read_text().splitlines()
    epochs = [json.loads(line) for line in lines]
    top1 = [epoch["top1"] for epoch in epochs]
    assert record["top1"] == top1[-1]
    assert record["best_top1"] == max(top1)
    assert record["best_epoch"] == 1 + top1.index(max(top1))


def test_each_run_of_a_sweep_has_its_own_overrides(train_in_process):
    result = train_in_process("-m", "+step=gelu", "seed=0,1", *QUICK)
    assert result.returncode == 0, result.stderr
    records = [load_record(Path(path)) for path in result.stdout.splitlines()]
    assert [record.overrides[:2] for record in records] == [("+step=gelu", "seed=0"), ("+step=gelu", "seed=1")]


def test_warnings_are_logged_and_change_nothing(train_in_process):
    result = train_in_process("+step=gelu", "recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=512")
    record = printed_record(result)
    assert "recipe.batch_size=512 leaves 413 of the 1,437 training images (29%) out of every epoch" in result.stderr
    assert record["status"] == "done"


@pytest.mark.slow
def test_resumed_run_keeps_its_first_start(tmp_path):
    arguments = ("+step=gelu", "recipe.epochs=2", "recipe.warmup_epochs=0", "wandb=disabled", "checkpoint_minutes=0")
    command = [sys.executable, "train.py", *arguments, f"runs={tmp_path}"]
    process = start(command)
    folder = wait_for_step(tmp_path, 5, process)
    process.send_signal(signal.SIGTERM)
    assert end(process)[0] == 143
    resumed_at = datetime.now(UTC).replace(microsecond=0)
    assert end(start(command))[0] == 0
    record = find_record(folder)
    assert record is not None
    assert record.started is not None
    assert record.ended is not None
    assert datetime.fromisoformat(record.started) < resumed_at < datetime.fromisoformat(record.ended)


def test_record_without_the_newer_fields_is_valid(tmp_path):
    names = ("best_top1", "best_epoch", "started", "ended", "host", "cpu", "gpus", "versions", "overrides")
    (path, *_) = sorted(Path(__file__).parents[2].glob("results/studies/*/*/*/record.json"))
    values = json.loads(path.read_text())
    older = {name: value for name, value in values.items() if name not in (*names, "peak_host_memory")}
    copy = tmp_path / "record.json"
    copy.write_text(json.dumps(older))
    record = load_record(copy)
    assert isinstance(record, Record)
    assert (record.started, record.gpus, record.overrides, record.versions) == (None, (), (), {})
