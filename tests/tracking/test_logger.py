"""wandb has a copy of what was trained, and no error of wandb ends a run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wandb
from helpers import execution_config, printed_record, run_command, short_experiment
from records import make_epoch, make_record
from wandb_files import read_messages, to_values
from wandb_server import Run, Server

from modernet.config.schema import WandbConfig
from modernet.errors import Interrupted
from modernet.record import METRICS, flatten
from modernet.runtime.file_names import METRICS_FILE, STEPS_FILE
from modernet.runtime.signals import ShutdownSignal
from modernet.tracking.logger import STEP_NAMES, WandbLogger
from modernet.tracking.settings import select_mode
from modernet.training.trainer import Trainer

QUICK = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=512")


def offline_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("run-*.wandb"))


OFFLINE, ONLINE = WandbConfig(mode="offline"), WandbConfig(mode="online")


def history(path: Path, axis: str = "val/top1") -> list[dict]:
    """The rows that have a value of this name."""
    rows = [to_values(message.history.item) for message in read_messages(path) if message.HasField("history")]
    return [row for row in rows if axis in row]


def run_of(path: Path) -> Any:
    return next(message.run for message in read_messages(path) if message.HasField("run"))


def exit_codes(path: Path) -> list[int]:
    return [message.exit.exit_code for message in read_messages(path) if message.HasField("exit")]


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_offline_run_has_config_curves_axes_and_a_summary_that_grows(train_in_process, tmp_path):
    result = train_in_process("+step=gelu", "wandb=offline", *QUICK, "recipe.epochs=2", "log_every_steps=1")
    record = printed_record(result)
    (path,) = offline_files(tmp_path)
    run = run_of(path)
    assert run.display_name == f"digits/micro/{record['variant']}-s0"
    assert run.run_group == f"digits/micro/{record['variant']}"
    assert (run.job_type, run.project, list(run.tags)) == ("train", "modernet", ["gelu"])
    assert f"wandb: offline run {run.run_id}" in result.stderr
    config = to_values(run.config.update)
    for name in ("model", "recipe", "data", "data_fingerprint"):
        assert config[name] == record["config"][name]
    for name in ("params", "gmacs", "machine", "device", "versions", "commit"):
        assert config[name] == record[name]

    epochs = history(path)
    for logged, epoch in zip(epochs, read_lines(next(tmp_path.rglob(METRICS_FILE))), strict=True):
        assert [logged[f"val/{name}"] for name in ("top1", "top5", "loss")] == [
            *(epoch[name] for name in ("top1", "top5", "val_loss")),
        ]
        assert (logged["epoch"], logged["epoch/train_loss"]) == (epoch["epoch"], epoch["train_loss"])
    rows = history(path, "train/loss")
    steps = read_lines(next(tmp_path.rglob(STEPS_FILE)))
    assert [row["train/step"] for row in rows] == [step["step"] for step in steps] == [*range(1, len(steps) + 1)]
    names = {name: STEP_NAMES[name] for name in steps[0]}
    assert {"train/loss", "train/top1", "train/lr", "train/images_per_second", "train/data_wait"} < {*names.values()}
    assert [{name: row[there] for name, there in names.items()} for row in rows] == steps

    axes = {metric.glob_name or metric.name: metric.step_metric for metric in metrics_defined(path)}
    assert axes["train/*"] == axes["system/peak_memory"] == "train/step"
    assert axes["val/*"] == axes["epoch/*"] == "epoch"
    summaries = summary_updates(path)
    assert summaries[0] == {"status": "running", "params": record["params"], "gmacs": record["gmacs"]}
    assert [update["top1"] for update in summaries if "top1" in update][:2] == [row["val/top1"] for row in epochs]
    summary = {name: value for update in summaries for name, value in update.items()}
    for name in ("top1", "top5", "gmacs", "params", "images_per_second", "status"):
        assert summary[name] == pytest.approx(record[name])
    assert exit_codes(path) == [0]


def metrics_defined(path: Path) -> list[Any]:
    return [message.metric for message in read_messages(path) if message.HasField("metric")]


def summary_updates(path: Path) -> list[dict]:
    updates = [to_values(message.summary.update) for message in read_messages(path) if message.HasField("summary")]
    return [update for update in updates if {"status", "top1"} & update.keys()]


FIELDS = ("wandb.project=mine", "wandb.entity=team", "wandb.group=seeds", "wandb.tags=[a,b]", "wandb.notes=why")
VARIABLES = {
    **{"WANDB_PROJECT": "yours", "WANDB_ENTITY": "we", "WANDB_RUN_GROUP": "others", "WANDB_TAGS": "c,d"},
    **{"WANDB_NAME": "a name", "WANDB_JOB_TYPE": "try", "WANDB_NOTES": "because", "WANDB_MODE": "offline"},
}


def test_config_fields_win_over_defaults_and_change_no_identity(train_in_process, tmp_path):
    path = train_in_process("+step=gelu", "wandb=offline", *FIELDS, *QUICK).stdout
    run = run_of(offline_files(tmp_path)[0])
    assert (run.project, run.entity, run.run_group, list(run.tags)) == ("mine", "team", "seeds", ["a", "b"])
    assert run.notes == "why"
    assert train_in_process("+step=gelu", *QUICK).stdout == path


def test_environment_variables_win_over_config_fields(train_in_process, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    result = train_in_process("+step=gelu", "wandb=disabled", *FIELDS, *QUICK, **VARIABLES, WANDB_DIR=str(elsewhere))
    assert result.returncode == 0, result.stderr
    (path,) = offline_files(elsewhere)
    assert not offline_files(tmp_path / "runs")
    run = run_of(path)
    assert (run.project, run.entity, run.run_group, list(run.tags)) == ("yours", "we", "others", ["c", "d"])
    assert (run.display_name, run.job_type, run.notes) == ("a name", "try", "because")


class Recorder:
    """A wandb run that keeps what it is sent, or fails after it was closed."""

    id = "recorder"

    def __init__(self) -> None:
        self.history: list[dict] = []
        self.summary: dict = {}
        self.closed = False

    def log(self, values: dict, step: int, commit: bool | None = None) -> None:
        if self.closed:
            raise RuntimeError("the run is closed")
        self.history.append(values | {"step": step})


def test_declared_metrics_stand_beside_the_other_values():
    metrics = {metric.name: 7.5 for metric in METRICS}
    run = Recorder()
    wandb_logger = WandbLogger(run)
    wandb_logger.log_epoch(flatten(make_epoch(3, metrics=metrics)), step=30)
    wandb_logger.log_result(make_record("gelu", 60.0, metrics=metrics))
    assert {f"epoch/{name}": value for name, value in metrics.items()}.items() <= run.history[0].items()
    assert (run.history[0]["epoch"], run.history[0]["step"]) == (3, 30)
    assert metrics.items() <= run.summary.items()
    assert run.summary["top1"] == 60.0
    assert "metrics" not in run.history[0].keys() | run.summary.keys()


def test_two_runs_of_a_process_are_two_wandb_runs(train_in_process, tmp_path):
    assert train_in_process("-m", "+step=gelu", "seed=0,1", "wandb=offline", *QUICK).returncode == 0
    files = offline_files(tmp_path)
    assert len({path.stem for path in files}) == 2
    assert [len(history(path)) for path in files] == [1, 1]


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
    files = stop_and_resume(tmp_path, OFFLINE, OFFLINE)
    assert len(files) == 2
    assert files[0].name == files[1].name  # run-ID.wandb
    assert [epoch["epoch"] for path in files for epoch in history(path)] == [1, 2, 3]
    steps = [row["train/step"] for path in files for row in history(path, "train/loss")]
    assert steps == [row["step"] for row in read_lines(tmp_path / STEPS_FILE)] == [*range(1, len(steps) + 1)]
    assert [exit_codes(path) for path in files] == [[1], [0]]
    assert summary_updates(files[0])[-1] == {"status": "interrupted"}


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


def test_failed_run_ends_with_status_1(train_in_process, tmp_path):
    assert train_in_process("+step=gelu", "wandb=offline", *QUICK, "recipe.lr=1e30").returncode == 1
    (path,) = offline_files(tmp_path)
    assert exit_codes(path) == [1]
    assert summary_updates(path)[-1]["status"] == "failed"


def test_offline_is_the_default_and_disabled_writes_nothing(train_in_process, tmp_path):
    assert select_mode(WandbConfig()) == "offline"
    assert train_in_process("+step=gelu", *QUICK, "wandb=disabled").returncode == 0
    assert not list(tmp_path.rglob("*wandb*"))


def test_online_is_the_default_under_an_agent(monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    assert select_mode(WandbConfig()) == "online"
    assert select_mode(OFFLINE) == "offline"


def test_broken_installation_is_reported_and_training_continues(train_in_process, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    result = train_in_process("+step=gelu", *QUICK, "wandb=offline")
    assert printed_record(result)["status"] == "done"
    assert "wandb could not start (import of wandb halted; None in sys.modules); training continues" in result.stderr


def test_error_while_logging_is_reported_once(caplog):
    run = Recorder()
    wandb_logger = WandbLogger(run)
    run.closed = True
    for number in (1, 2):
        wandb_logger.log_epoch(flatten(make_epoch(number)), number)
    assert caplog.messages == ["wandb failed (the run is closed); training continues without it"]


# The limit is shorter here than a user's.
TRAIN = """
import sys
from modernet.commands import train
from modernet.tracking import logger
logger.FINISH_SECONDS = 3
train.main()
"""


@pytest.mark.slow
def test_server_that_stops_answering_does_not_keep_the_run(tmp_path):
    with Server(tmp_path) as server:
        server.stall_at = 1
        words = [sys.executable, "-c", TRAIN, "+step=gelu", *QUICK, "wandb=online", f"runs={tmp_path / 'runs'}"]
        result = subprocess.run(
            words, env=os.environ | server.environment, capture_output=True, text=True, timeout=120, check=False
        )
    assert printed_record(result)["status"] == "done"
    assert "wandb lacks a part of the run after 3 s; `wandb sync " in result.stderr


def test_unknown_mode_is_rejected(train_in_process):
    result = train_in_process("wandb.mode=sometimes")
    assert result.returncode == 2
    assert "wandb.mode: input should be 'auto', 'online', 'offline' or 'disabled', got 'sometimes'" in result.stderr
    result = train_in_process(WANDB_MODE="sometimes")
    assert result.returncode == 2
    assert "WANDB_MODE must be one of offline, online, disabled, got 'sometimes'" in result.stderr
