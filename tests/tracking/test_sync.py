"""Offline runs arrive at wandb once and completely; `wandb sync` itself talks to a stand-in server."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from helpers import ROOT, run_command, run_script, short_experiment
from records import make_epoch, make_record
from wandb_files import read_messages
from wandb_server import Server

from modernet.config.schema import WandbConfig
from modernet.record import Record, flatten, load_record, write_record
from modernet.runtime.file_names import METRICS_FILE
from modernet.runtime.lock import run_lock
from modernet.tracking.logger import wandb_run
from modernet.tracking.sync import find_offline_runs


def log_offline(folder: Path, step: str, epochs: range, stopped: bool = False, record: Record | None = None) -> None:
    """Leave in a run's folder what a training of these epochs leaves there, by default with a finished run's record."""
    folder.mkdir(parents=True, exist_ok=True)
    with wandb_run(WandbConfig(mode="offline"), folder, short_experiment(step)) as wandb_logger:
        made = [make_epoch(number, train_loss=1 / number, val_loss=1 / number, top1=60.0 + number) for number in epochs]
        for epoch in made:
            wandb_logger.log_epoch(flatten(epoch), 10 * epoch.epoch)
        (folder / METRICS_FILE).write_text("".join(json.dumps(flatten(epoch)) + "\n" for epoch in made))
        if not stopped:
            record = record or make_record(step, 60.0 + epochs[-1])
            wandb_logger.log_result(record)
            write_record(folder, record)


@pytest.fixture(scope="module")
def logged(tmp_path_factory) -> Path:
    """The folder of two runs: one that was stopped and resumed, and one that was not."""
    runs = tmp_path_factory.mktemp("logged") / "runs"
    log_offline(runs / "digits/gelu", "gelu", range(1, 3), stopped=True)
    log_offline(runs / "digits/kernel_size", "kernel_size", range(1, 4))
    time.sleep(1.1)  # wandb names folders by the second
    log_offline(runs / "digits/gelu", "gelu", range(1, 5))
    for path in runs.rglob("run-*.wandb"):
        read_messages(path)  # waits until wandb has written it
    return runs


@pytest.fixture
def runs(logged, tmp_path) -> Path:
    return Path(shutil.copytree(logged, tmp_path / "runs", symlinks=True))


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    for name in ("WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    wandb.teardown()  # wandb reads the address of its server once
    with Server(tmp_path) as server:
        yield server


def files(runs: Path, step: str) -> list[Path]:
    return sorted(runs.rglob(f"{step}/wandb/offline-run-*/run-*.wandb"))


def id_of(runs: Path, step: str) -> str:
    return files(runs, step)[0].stem.removeprefix("run-")


@pytest.fixture
def push(server):
    """`modernet sync` against the stand-in server: the state of each run by step, and stderr."""

    def call(runs: Path, *options: str, status: int = 0) -> tuple[dict[str, str], str]:
        result = run_command("sync", runs, *options, environment=server.environment)
        assert result.returncode == status, result.stderr
        lines = [line for line in (result.stdout + result.stderr).splitlines() if f": {runs}" in line]
        states = {line.partition(str(runs / "digits"))[2][1:].split()[0]: line.partition(":")[0] for line in lines}
        return states, result.stderr

    return call


def epochs(server: Server, id: str) -> list[int]:
    return [line["epoch"] for line in server.runs[id].history]


def test_finished_runs_arrive_completely_and_once(server, push, runs):
    path = runs / "digits/gelu/record.json"
    path.rename(runs / "aside.json")
    assert push(runs)[0] == {"gelu": "not finished", "kernel_size": "pushed"}
    assert epochs(server, id_of(runs, "kernel_size")) == [1, 2, 3]
    (runs / "aside.json").rename(path)
    assert push(runs)[0] == {"gelu": "pushed", "kernel_size": "pushed before"}
    assert epochs(server, id_of(runs, "gelu")) == [1, 2, 3, 4]
    assert set(server.runs) == {id_of(runs, "gelu"), id_of(runs, "kernel_size")}

    arrived, record = server.runs[id_of(runs, "gelu")], load_record(path)
    settings = arrived.settings
    assert (settings["groupName"], settings["tags"], arrived.project) == ("digits/micro/gelu", ["gelu"], "modernet")
    expected = {"top1": record.top1, "gmacs": record.gmacs, "status": "done"}
    assert {name: arrived.summary[name] for name in expected} == expected
    assert arrived.exits[-1] == 0

    server.runs.clear()
    assert push(runs)[0] == {"gelu": "pushed before", "kernel_size": "pushed before"}
    assert not server.runs


def test_a_rejected_run_stops_no_other_and_is_tried_again(server, push, runs):
    server.full = {id_of(runs, "gelu")}
    states, errors = push(runs, status=1)
    assert states == {"gelu": "failed", "kernel_size": "pushed"}
    assert f"failed: {runs}/digits/gelu (the disk of the server is full)" in errors
    assert "sync.py: error: 1 of 2 runs failed; rerun the same command to try them again" in errors
    server.full = set()
    assert push(runs)[0] == {"gelu": "pushed", "kernel_size": "pushed before"}
    assert epochs(server, id_of(runs, "gelu")) == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_run_that_wandb_marks_as_pushed_without_pushing_it_is_tried_again(server, push, runs):
    server.broken_streams = {id_of(runs, "kernel_size")}
    states, errors = push(runs, status=1)
    assert states == {"gelu": "pushed", "kernel_size": "failed"}
    assert "Fatal error while uploading data" in errors
    server.broken_streams = set()
    assert push(runs)[0] == {"gelu": "pushed before", "kernel_size": "pushed"}
    assert epochs(server, id_of(runs, "kernel_size")) == [1, 2, 3]


@pytest.mark.slow
def test_a_killed_push_is_completed_and_repeats_no_epoch(server, push, runs):
    server.stall_at = 4  # gelu's second file has arrived, and the sender does not know
    command = [sys.executable, "scripts/sync.py", runs]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | server.environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    assert server.stalled.wait(60)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    server.stall_at = None
    assert push(runs)[0] == {"gelu": "pushed", "kernel_size": "pushed"}
    assert epochs(server, id_of(runs, "gelu")) == [1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["its end is missing", "empty", "no file of wandb"])
def test_a_damaged_file_is_replaced_by_the_files_of_the_run(server, push, runs, damage):
    shutil.rmtree(runs / "digits/gelu")
    (file,) = files(runs, "kernel_size")
    whole = file.read_bytes()
    contents = {"its end is missing": whole[:-20], "empty": whole[:7], "no file of wandb": b"not what wandb writes"}
    file.write_bytes(contents[damage])
    assert push(runs)[0] == {"kernel_size": "pushed"}
    (id,) = server.runs
    assert epochs(server, id) == [1, 2, 3]
    summary = server.runs[id].summary
    assert (id, summary["status"], summary["top1"]) == (id_of(runs, "kernel_size"), "done", 63.0)
    assert push(runs)[0] == {"kernel_size": "pushed before"}


def test_a_damaged_record_is_reported(server, push, runs):
    (runs / "digits/gelu/record.json").write_text("{}")
    states, errors = push(runs, status=1)
    assert states == {"gelu": "failed", "kernel_size": "pushed"}
    assert "gelu/record.json is not a record" in errors


def test_entity_and_project_are_those_of_the_options(server, push, runs):
    shutil.rmtree(runs / "digits/gelu")
    states, errors = push(runs, "--entity", "you", status=1)
    assert states == {"kernel_size": "failed"}
    assert "entity you not found" in errors
    push(runs, "--project", "other")
    assert server.runs[id_of(runs, "kernel_size")].project == "other"


FAILED = make_record("gelu", None, top5=None, val_loss=None, status="failed", reason="the loss is not finite")


def test_a_failed_run_has_no_accuracy(server, push, tmp_path):
    log_offline(tmp_path / "digits/gelu", "gelu", range(1, 3), record=FAILED)
    assert push(tmp_path)[0] == {"gelu": "pushed"}
    (run,) = server.runs.values()
    names = ("top1", "top5", "val_loss", "val/top1", "val/top5", "val/loss")
    assert {run.summary.get(name) for name in names} == {None}
    assert (run.summary["status"], run.summary["gmacs"], run.exits) == ("failed", FAILED.gmacs, [1])


def test_a_failed_run_that_is_trained_again_is_pushed_when_it_ends(server, push, tmp_path):
    folder = tmp_path / "digits/gelu"
    log_offline(folder, "gelu", range(1, 3), record=FAILED)
    time.sleep(1.1)  # wandb names folders by the second
    with run_lock(folder):
        with wandb_run(WandbConfig(mode="offline"), folder, short_experiment("gelu")) as wandb_logger:
            for number in (1, 2, 3):
                wandb_logger.log_epoch(flatten(make_epoch(number)), 10 * number)
            assert push(tmp_path)[0] == {"gelu": "not finished"}
            assert not server.runs
            record = make_record("gelu", 63.0)
            wandb_logger.log_result(record)
        write_record(folder, record)
    assert push(tmp_path)[0] == {"gelu": "pushed"}
    (run,) = server.runs.values()
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert (run.summary["status"], run.summary["top1"], run.exits[-1]) == ("done", 63.0, 0)


def test_wandb_dir_inside_the_folder_is_no_run(server, push, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    log_offline(tmp_path / "digits/gelu", "gelu", range(1, 3))
    assert [folder for folder, _ in find_offline_runs(tmp_path)] == [tmp_path / "digits/gelu"]
    assert push(tmp_path)[0] == {"gelu": "pushed"}


@pytest.mark.parametrize(
    ("folder", "message"),
    [("nowhere", "there is no folder "), ("empty", "there is no run that wandb logged offline below ")],
)
def test_a_folder_without_runs_is_one_line_and_status_2(folder, message, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run_command("sync", tmp_path / folder)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"sync.py: error: {message}{tmp_path / folder}")


def test_a_missing_wandb_is_one_line_and_status_2(tmp_path):
    (tmp_path / "wandb.py").write_text("raise ImportError('not installed')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = run_script("scripts/sync.py", tmp_path, environment={"PYTHONPATH": path})
    assert result.returncode == 2
    assert result.stderr.startswith("sync.py: error: modernet sync needs wandb (")


def test_a_missing_login_is_one_line_and_status_2(server, runs):
    environment = {**server.environment, "WANDB_API_KEY": ""}
    result = run_command("sync", runs, environment=environment)
    assert (result.returncode, result.stdout) == (2, "")
    login = "sync.py: error: there is no login at wandb; run `wandb login` or set WANDB_API_KEY\n"
    assert result.stderr == login


def test_run_file_that_holds_no_object_has_no_run_in_wandb_dir(tmp_path, monkeypatch):
    (tmp_path / "run/wandb").mkdir(parents=True)
    (tmp_path / "run/wandb/run.json").write_text("[1]")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    assert find_offline_runs(tmp_path) == {}
