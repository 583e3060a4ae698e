"""A run that is stopped and resumed is one run of wandb, wherever each part was logged."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import wandb
from helpers import execution_config, read_lines, run_command, short_experiment
from wandb_files import exit_codes, history, offline_files, summary_updates
from wandb_server import Run, Server

from modernet.config.schema import WandbConfig
from modernet.errors import Interrupted
from modernet.runtime.file_names import METRICS_FILE, STEPS_FILE
from modernet.runtime.signals import ShutdownSignal
from modernet.tracking.run_files import RUN_FILE, synced_mark
from modernet.training.trainer import Trainer

OFFLINE, ONLINE = WandbConfig(mode="offline"), WandbConfig(mode="online")


EXPERIMENT = short_experiment("gelu", batch_size=512, epochs=3)


class StopAfterFirstEpoch(ShutdownSignal):
    """As if a signal arrived after the first epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def requested(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "SIGTERM" if (self.folder / METRICS_FILE).exists() else None


class StopInFirstEvaluation(StopAfterFirstEpoch):
    """As if a signal arrived after the last step of the first epoch."""

    @property
    def requested(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        path = self.folder / STEPS_FILE
        has_epoch = path.exists() and any(row["epoch"] == 1 for row in read_lines(path))
        return "SIGTERM" if has_epoch else None


class StopAtRow(StopAfterFirstEpoch):
    """As if a signal arrived when steps.jsonl has this many rows."""

    number = 4

    @property
    def requested(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        path = self.folder / STEPS_FILE
        return "SIGTERM" if path.exists() and len(read_lines(path)) >= self.number else None


class StopAtSecondRow(StopAtRow):
    number = 2


class StopAtFirstRow(StopAtRow):
    number = 1


def stop(folder: Path, config: WandbConfig | None, when: type[StopAfterFirstEpoch] = StopAfterFirstEpoch) -> None:
    execution = execution_config(log_every_steps=1)
    with pytest.raises(Interrupted):
        Trainer.from_experiment(EXPERIMENT, folder, execution, config, when(folder)).train()


def resume(folder: Path, config: WandbConfig | None) -> None:
    Trainer.from_experiment(EXPERIMENT, folder, execution_config(log_every_steps=1), config).train()


def stop_and_resume(folder: Path, first: WandbConfig | None, then: WandbConfig | None) -> list[Path]:
    """Three epochs, stopped after the first; the offline files."""
    stop(folder, first)
    resume(folder, then)
    return offline_files(folder)


def test_resumed_run_continues_the_same_wandb_run(tmp_path):
    stopped, resumed = stop_and_resume(tmp_path, OFFLINE, OFFLINE)
    assert stopped.name == resumed.name  # run-ID.wandb
    assert [[epoch["epoch"] for epoch in history(path)] for path in (stopped, resumed)] == [[1], [1, 2, 3]]
    steps = [row["train/step"] for row in history(resumed, "train/loss")]
    assert steps == [row["step"] for row in read_lines(tmp_path / STEPS_FILE)] == [*range(1, len(steps) + 1)]
    assert [exit_codes(path) for path in (stopped, resumed)] == [[1], [0]]
    assert summary_updates(stopped)[-1] == {"status": "interrupted"}
    assert [synced_mark(path).exists() for path in (stopped, resumed)] == [True, False]


def test_wandb_run_that_begins_later_has_the_earlier_epochs_and_steps(tmp_path):
    (path,) = stop_and_resume(tmp_path, None, OFFLINE)
    assert [epoch["epoch"] for epoch in history(path)] == [1, 2, 3]
    steps = [row["train/step"] for row in history(path, "train/loss")]
    assert steps == [row["step"] for row in read_lines(tmp_path / STEPS_FILE)]


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    wandb.teardown()  # wandb reads the address of its server once
    with Server(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server
        wandb.teardown()


def assert_complete(run: Run, folder: Path) -> None:
    """The server has every row of the three epochs once, and the result."""
    assert [row["epoch"] for row in run.history if "val/top1" in row] == [1, 2, 3]
    steps = [row["train/step"] for row in run.history if "train/step" in row]
    assert steps == [row["step"] for row in read_lines(folder / STEPS_FILE)] == [*range(1, len(steps) + 1)]
    assert (run.summary["status"], run.exits[-1]) == ("done", 0)


@pytest.mark.parametrize("when", [StopAfterFirstEpoch, StopInFirstEvaluation])
def test_run_that_is_resumed_online_has_every_row_once(server, tmp_path, when):
    stop(tmp_path, ONLINE, when)
    (run,) = server.runs.values()
    assert len([row for row in run.history if "val/top1" in row]) == (when is StopAfterFirstEpoch)
    resume(tmp_path, ONLINE)
    (run,) = server.runs.values()
    assert_complete(run, tmp_path)
    assert run.exits == [1, 0]


def test_run_that_is_stopped_twice_in_one_evaluation_has_every_row_once(server, tmp_path):
    for _ in range(2):
        stop(tmp_path, ONLINE, StopInFirstEvaluation)
    resume(tmp_path, ONLINE)
    (run,) = server.runs.values()
    assert_complete(run, tmp_path)


def test_run_that_is_killed_before_it_comes_to_new_rows_has_every_row_once(server, tmp_path):
    """The checkpoint is older than the rows that arrived, and steps.jsonl is cut to it when the run resumes."""
    stop(tmp_path, ONLINE, StopAtFirstRow)
    (checkpoint,) = tmp_path.glob("checkpoint-*.pt")
    content = checkpoint.read_bytes()
    for when in (StopAtRow, StopAtSecondRow):
        stop(tmp_path, ONLINE, when)
        for path in tmp_path.glob("checkpoint-*.pt"):  # a killed process leaves the one before
            path.unlink()
        checkpoint.write_bytes(content)
    resume(tmp_path, ONLINE)
    (run,) = server.runs.values()
    assert_complete(run, tmp_path)


def test_new_run_in_another_project_begins_with_its_own_steps(server, tmp_path):
    stop(tmp_path, ONLINE, StopInFirstEvaluation)
    stop(tmp_path, ONLINE)  # whose rows got higher steps at wandb
    other = replace(ONLINE, project="other")
    stop(tmp_path, other)
    resume(tmp_path, other)
    (run,) = (run for run in server.runs.values() if run.project == "other")
    assert_complete(run, tmp_path)


def test_run_whose_last_rows_did_not_arrive_has_every_row_once(server, tmp_path):
    """wandb's process, which sends the rows, dies with the training."""
    stop(tmp_path, ONLINE)
    (run,) = server.runs.values()
    del run.history[1:]
    run.summary = {"_step": 1}
    resume(tmp_path, ONLINE)
    (run,) = server.runs.values()
    assert_complete(run, tmp_path)


@pytest.mark.parametrize("size", [7, 4000])
def test_run_whose_first_file_is_cut_is_complete(server, tmp_path, size):
    """wandb writes blocks of 32 KiB, and a process that is killed loses the last one."""
    stop(tmp_path, OFFLINE)
    (file,) = offline_files(tmp_path)
    os.truncate(file, size)
    resume(tmp_path, OFFLINE)
    assert run_command("sync", tmp_path).returncode == 0
    (run,) = server.runs.values()
    assert_complete(run, tmp_path)


def test_run_that_ended_without_wandb_is_complete(server, tmp_path):
    stop(tmp_path, replace(OFFLINE, tags=("mine",)))
    resume(tmp_path, None)
    assert run_command("sync", tmp_path).returncode == 0
    (run,) = server.runs.values()
    assert_complete(run, tmp_path)
    assert run.settings["tags"] == ["mine"]
    assert run_command("sync", tmp_path).stdout.endswith("1 pushed before\n")


def cut_last_file(folder: Path, number: int = 20) -> None:
    """As where the disk was full when the run ended."""
    file = offline_files(folder)[-1]
    os.truncate(file, file.stat().st_size - number)


def test_damaged_run_of_an_earlier_version_stays_in_its_project(server, tmp_path):
    stop_and_resume(tmp_path, OFFLINE, replace(OFFLINE, project="mine"))
    cut_last_file(tmp_path)
    path = tmp_path / RUN_FILE
    kept = {name: value for name, value in json.loads(path.read_text()).items() if name in ("id", "project", "url")}
    path.write_text(json.dumps(kept))
    assert run_command("sync", tmp_path).returncode == 0
    (run,) = server.runs.values()
    assert_complete(run, tmp_path)
    assert run.project == "mine"


def test_damaged_lines_of_the_run_cost_no_others(server, tmp_path):
    stop_and_resume(tmp_path, OFFLINE, OFFLINE)
    cut_last_file(tmp_path)
    for name in (STEPS_FILE, METRICS_FILE):
        os.truncate(tmp_path / name, (tmp_path / name).stat().st_size - 5)
    assert run_command("sync", tmp_path).returncode == 0
    (run,) = server.runs.values()
    assert [row["epoch"] for row in run.history if "val/top1" in row] == [1, 2]
    steps = [row["train/step"] for row in run.history if "train/step" in row]
    assert steps == [*range(1, len(steps) + 1)]
    assert len(steps) == len((tmp_path / STEPS_FILE).read_text().splitlines()) - 1


@pytest.mark.parametrize("fault", ["wandb does not start", "no epochs"])
def test_run_that_cannot_be_written_again_is_not_called_pushed(server, tmp_path, monkeypatch, fault):
    stop(tmp_path, OFFLINE)
    resume(tmp_path, None)
    if fault == "no epochs":
        (tmp_path / METRICS_FILE).unlink()
    else:
        monkeypatch.setattr("modernet.tracking.logger._start_run", Mock(side_effect=OSError("no space left")))
    for _ in range(2):
        result = run_command("sync", tmp_path)
        assert result.returncode == 1
        assert "(wandb's file lacks the end of the run, and it cannot be written again)" in result.stderr
        assert not server.runs


TO_ME = {"entity": "me"}  # the login of the stand-in


@pytest.mark.parametrize(
    ("first", "then", "agent_run"),
    [
        pytest.param(OFFLINE, ONLINE, None, id="online"),
        pytest.param(replace(OFFLINE, **TO_ME), replace(ONLINE, **TO_ME), None, id="online, with its entity"),
        pytest.param(OFFLINE, ONLINE, "agent", id="online, by an agent"),
        pytest.param(OFFLINE, replace(OFFLINE, project="other"), None, id="to another project"),
        pytest.param(replace(OFFLINE, entity="team"), OFFLINE, None, id="to the entity of the login"),
    ],
)
def test_run_that_moves_after_an_offline_start_is_one_complete_run(
    server, tmp_path, monkeypatch, first, then, agent_run
):
    stop(tmp_path, first)
    if agent_run:
        monkeypatch.setenv("WANDB_SWEEP_ID", "sweep0")
        monkeypatch.setenv("WANDB_RUN_ID", agent_run)
    resume(tmp_path, then)
    assert run_command("sync", tmp_path).returncode == 0
    (run,) = server.runs.values()
    assert_complete(run, tmp_path)
    assert run.project == then.project


def test_offline_run_in_another_project_has_another_name(tmp_path):
    files = stop_and_resume(tmp_path, OFFLINE, replace(OFFLINE, project="other"))
    assert len({path.name for path in files}) == 2  # so that no push of one file repeats the other


def test_run_that_moves_to_another_project_online_has_every_row_there(server, tmp_path):
    stop(tmp_path, ONLINE)
    resume(tmp_path, replace(ONLINE, project="other"))
    (run,) = (run for run in server.runs.values() if run.project == "other")
    assert_complete(run, tmp_path)


def test_run_that_goes_offline_continues_the_online_run(server, tmp_path):
    stop(tmp_path, ONLINE)
    resume(tmp_path, OFFLINE)
    assert run_command("sync", tmp_path).returncode == 0
    (run,) = server.runs.values()
    assert_complete(run, tmp_path)
