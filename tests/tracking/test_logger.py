"""wandb has a copy of what was trained, and no error of wandb ends a run."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import printed_record, read_lines
from records import make_epoch, make_record
from wandb_files import exit_codes, history, offline_files, read_messages, summary_updates, to_values
from wandb_server import Server

from modernet.config.schema import WandbConfig
from modernet.metrics import METRICS
from modernet.record import flatten
from modernet.runtime.file_names import METRICS_FILE, STEPS_FILE
from modernet.tracking.logger import STEP_NAMES, WandbLogger
from modernet.tracking.settings import select_mode

QUICK = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=512")


def run_of(path: Path) -> Any:
    return next(message.run for message in read_messages(path) if message.HasField("run"))


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
    names = {name: STEP_NAMES.get(name, f"train/{name}") for name in steps[0]}
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

    id, starting_step = "recorder", 0

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


def test_a_new_value_of_a_step_gets_a_name():
    run = Recorder()
    WandbLogger(run).log_steps({"step": 50, "train_loss": 1.0, "lr": 0.1, "sharpness": 3.0})
    assert run.history == [{"train/step": 50, "train/loss": 1.0, "train/lr": 0.1, "train/sharpness": 3.0, "step": 50}]


def test_two_runs_of_a_process_are_two_wandb_runs(train_in_process, tmp_path):
    assert train_in_process("-m", "+step=gelu", "seed=0,1", "wandb=offline", *QUICK).returncode == 0
    files = offline_files(tmp_path)
    assert len({path.stem for path in files}) == 2
    assert [len(history(path)) for path in files] == [1, 1]


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
    assert select_mode(WandbConfig(mode="offline")) == "offline"


def test_broken_installation_is_reported_and_training_continues(train_in_process, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    result = train_in_process("+step=gelu", *QUICK, "wandb=offline")
    assert printed_record(result)["status"] == "done"
    assert "wandb could not start (import of wandb halted; None in sys.modules); training continues" in result.stderr


def test_wandb_dir_that_may_not_be_written_is_reported(train_in_process, tmp_path, monkeypatch):
    """wandb would write to a temporary folder, where `modernet sync` looks for nothing."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    result = train_in_process("+step=gelu", "wandb=offline", *QUICK, WANDB_DIR=str(tmp_path / "elsewhere"))
    assert printed_record(result)["status"] == "done"
    assert f"wandb could not start (WANDB_DIR={tmp_path / 'elsewhere'} may not be written)" in result.stderr


def test_run_id_is_that_of_an_agent_alone(train_in_process, tmp_path):
    """Else all runs of a sweep would be one run of wandb."""
    train_in_process("+step=gelu", "wandb=offline", *QUICK, WANDB_RUN_ID="mine")
    (path,) = offline_files(tmp_path)
    assert path.stem != "run-mine"


def test_error_while_logging_is_reported_once(caplog):
    run = Recorder()
    wandb_logger = WandbLogger(run)
    run.closed = True
    for number in (1, 2):
        wandb_logger.log_epoch(flatten(make_epoch(number)), number)
    assert caplog.messages == ["wandb failed (the run is closed); training continues without it"]


def test_run_file_that_cannot_be_written_does_not_end_the_training(tmp_path, caplog):
    (tmp_path / "wandb").write_text("a file, so that no run.json can be below")
    WandbLogger(Recorder(), tmp_path).resume(1)
    (message,) = caplog.messages
    assert message.startswith("wandb failed (")


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
