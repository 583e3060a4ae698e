"""Offline runs reach wandb whole and once, whatever comes between; `wandb sync` itself talks to a stand-in server."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import ROOT, data_config, recipe_config, run_script
from records import make_record as made
from wandb_server import Server

from modernet import record
from modernet import roadmap
from modernet.tracking import logger as track
from modernet.config.experiment import Experiment
from modernet.training.state import Epoch


def keep_offline(folder: Path, step: str, epochs: range, id: str | None = None, stopped: bool = False) -> str | None:
    """What a training of these epochs leaves in a run's folder; the name that wandb gave it."""
    spec = replace(roadmap("micro")[step], stem_stride=1)
    experiment = Experiment(step, step, "digits", "micro", 0, spec, recipe_config("modern"), data_config("digits"))
    folder.mkdir(parents=True, exist_ok=True)
    with track.started("offline", folder, experiment, id) as tracker:
        for number in epochs:
            tracker.epoch(Epoch(number, 1e-3, 1 / number, 50.0, 1 / number, 60.0 + number, 90.0, None, 1.0, 900.0))
        if not stopped:
            finished = made(step, 60.0 + epochs[-1])
            tracker.result(finished)
            record.write(folder, finished)
    return tracker.id


def keep_two(runs: Path) -> None:
    """One run that was stopped and resumed, and one that was not."""
    id = keep_offline(runs / "digits/gelu", "gelu", range(1, 3), stopped=True)
    time.sleep(1.1)  # wandb names folders by the second
    keep_offline(runs / "digits/gelu", "gelu", range(3, 5), id)
    keep_offline(runs / "digits/kernel_size", "kernel_size", range(1, 4))


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Their folder, made once, in a process of its own as a training is."""
    runs = tmp_path_factory.mktemp("kept") / "runs"
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    code = f"import test_sync, pathlib; test_sync.keep_two(pathlib.Path({str(runs)!r}))"
    result = run_script("-c", code, environment={"PYTHONPATH": path})
    assert result.returncode == 0, result.stderr
    return runs


@pytest.fixture
def runs(kept, tmp_path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "runs", symlinks=True))


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    for name in ("WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    with Server(tmp_path) as server:
        yield server


def files(runs: Path, step: str) -> list[Path]:
    return sorted(runs.rglob(f"{step}/wandb/offline-run-*/run-*.wandb"))


def id_of(runs: Path, step: str) -> str:
    return files(runs, step)[0].stem.removeprefix("run-")


def push(server: Server, runs: Path, *options: str, status: int = 0) -> tuple[dict[str, str], str]:
    """What it says of each run, by step, and why where it failed."""
    result = run_script("scripts/sync.py", runs, *options, environment=server.environment)
    assert result.returncode == status, result.stderr
    lines = [line for line in (result.stdout + result.stderr).splitlines() if f": {runs}" in line]
    said = {line.partition(str(runs / "digits"))[2][1:].split()[0]: line.partition(":")[0] for line in lines}
    return said, result.stderr


def epochs(server: Server, id: str) -> list[int]:
    return [line["epoch"] for line in server.runs[id].history]


def test_a_run_arrives_whole_and_once(server, runs):
    assert push(server, runs)[0] == {"gelu": "pushed", "kernel_size": "pushed"}
    gelu, kernel_size = id_of(runs, "gelu"), id_of(runs, "kernel_size")
    assert set(server.runs) == {gelu, kernel_size}
    assert epochs(server, gelu) == [1, 2, 3, 4]
    assert epochs(server, kernel_size) == [1, 2, 3]
    arrived = server.runs[gelu]
    assert (arrived.settings["groupName"], arrived.settings["tags"], arrived.project) == (
        "digits/gelu",
        ["gelu"],
        "modernet",
    )
    finished = record.read(runs / "digits/gelu/record.json")
    assert {name: arrived.summary[name] for name in ("top1", "gmacs", "status")} == {
        "top1": finished.top1,
        "gmacs": finished.gmacs,
        "status": "done",
    }
    assert arrived.exits[-1] == 0

    server.runs.clear()
    assert push(server, runs)[0] == {"gelu": "pushed before", "kernel_size": "pushed before"}
    assert not server.runs


def test_what_still_trains_is_left_for_later(server, runs):
    path = runs / "digits/gelu/record.json"
    path.rename(runs / "aside.json")
    assert push(server, runs)[0] == {"gelu": "not finished", "kernel_size": "pushed"}
    assert set(server.runs) == {id_of(runs, "kernel_size")}
    (runs / "aside.json").rename(path)
    assert push(server, runs)[0] == {"gelu": "pushed", "kernel_size": "pushed before"}
    assert epochs(server, id_of(runs, "gelu")) == [1, 2, 3, 4]


def test_one_that_is_refused_holds_up_no_other_and_is_tried_again(server, runs):
    server.full = {id_of(runs, "gelu")}
    said, errors = push(server, runs, status=1)
    assert said == {"gelu": "failed", "kernel_size": "pushed"}
    assert f"failed: {runs}/digits/gelu (the disk of the server is full)" in errors
    assert "sync.py: error: 1 of 2 runs failed; the same command tries them again" in errors
    server.full = set()
    assert push(server, runs)[0] == {"gelu": "pushed", "kernel_size": "pushed before"}
    assert epochs(server, id_of(runs, "gelu")) == [1, 2, 3, 4]


@pytest.mark.slow
def test_what_wandb_marks_as_pushed_though_it_was_not_is_tried_again(server, runs):
    server.cut = {id_of(runs, "kernel_size")}
    said, errors = push(server, runs, status=1)
    assert said == {"gelu": "pushed", "kernel_size": "failed"}
    assert "Fatal error while uploading data" in errors
    server.cut = set()
    assert push(server, runs)[0] == {"gelu": "pushed before", "kernel_size": "pushed"}
    assert epochs(server, id_of(runs, "kernel_size")) == [1, 2, 3]


@pytest.mark.slow
def test_a_push_that_was_killed_is_finished_and_repeats_no_epoch(server, runs):
    server.stall_at = 4  # gelu's second file has arrived, and its sender does not know
    command = [sys.executable, "scripts/sync.py", runs]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | server.environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    assert server.stalled.wait(60)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    server.stall_at = None
    assert push(server, runs)[0] == {"gelu": "pushed", "kernel_size": "pushed"}
    assert epochs(server, id_of(runs, "gelu")) == [1, 2, 3, 4]


def test_a_file_that_was_cut_off_goes_as_far_as_it_goes(server, runs):
    shutil.rmtree(runs / "digits/gelu")
    (file,) = files(runs, "kernel_size")
    file.write_bytes(file.read_bytes()[:-20])
    assert push(server, runs)[0] == {"kernel_size": "pushed"}
    assert epochs(server, id_of(runs, "kernel_size")) == [1, 2, 3]
    assert push(server, runs)[0] == {"kernel_size": "pushed before"}


def test_a_file_that_is_none_is_reported(server, runs):
    shutil.rmtree(runs / "digits/gelu")
    (file,) = files(runs, "kernel_size")
    file.write_bytes(b"not what wandb writes")
    said, errors = push(server, runs, status=1)
    assert said == {"kernel_size": "failed"}
    assert "bad header" in errors


def test_entity_and_project_are_passed_on(server, runs):
    shutil.rmtree(runs / "digits/gelu")
    said, errors = push(server, runs, "--entity", "you", status=1)
    assert said == {"kernel_size": "failed"}
    assert "entity you not found" in errors
    push(server, runs, "--project", "other")
    assert server.runs[id_of(runs, "kernel_size")].project == "other"


def test_mistakes_are_one_line_and_status_2(server, runs, tmp_path):
    (tmp_path / "empty").mkdir()
    without = {**server.environment, "WANDB_API_KEY": ""}
    for folder, environment, line in (
        (tmp_path / "nowhere", server.environment, f"there is no folder {tmp_path / 'nowhere'}"),
        (tmp_path / "empty", server.environment, "there is no run that wandb kept offline below"),
        (runs, without, "there is no login at wandb; `wandb login` makes one"),
    ):
        result = run_script("scripts/sync.py", folder, environment=environment)
        assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
        assert result.stderr.startswith(f"sync.py: error: {line}")
