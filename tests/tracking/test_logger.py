"""wandb has a copy of what was trained, and no error of wandb ends a run."""

import json
import sys
from pathlib import Path

import pytest
from helpers import ROOT, execution_config, printed_record, short_experiment
from records import make_epoch, make_record
from wandb_files import read_messages, to_values

from modernet.errors import Interrupted
from modernet.record import METRICS, METRICS_FILE
from modernet.runtime.signals import ShutdownSignal
from modernet.tracking.logger import WandbLogger
from modernet.training.trainer import Trainer

QUICK = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=512")


def offline_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("run-*.wandb"))


def logged_epochs(path: Path) -> list[dict]:
    return [to_values(message.history.item) for message in read_messages(path) if message.HasField("history")]


def exit_codes(path: Path) -> list[int]:
    return [message.exit.exit_code for message in read_messages(path) if message.HasField("exit")]


def test_offline_run_has_the_config_the_epochs_and_the_summary(train_in_process, tmp_path):
    record = printed_record(train_in_process("+step=gelu", "wandb=offline", *QUICK, "recipe.epochs=2"))
    (path,) = offline_files(tmp_path)
    messages = read_messages(path)
    run = next(message.run for message in messages if message.HasField("run"))
    assert run.display_name == f"{record['variant']}-s0"
    assert run.run_group == f"digits/{record['variant']}"
    assert list(run.tags) == ["gelu"]
    config = to_values(run.config.update)
    assert config["model"] == record["config"]["model"]
    assert config["recipe"] == record["config"]["recipe"]

    epochs = [json.loads(line) for line in next(tmp_path.rglob(METRICS_FILE)).read_text().splitlines()]
    for logged, epoch in zip(logged_epochs(path), epochs, strict=True):
        values = epoch | epoch.pop("metrics", {})
        assert {name: logged[name] for name in values} == values
    summary: dict = {}
    for message in messages:
        if message.HasField("summary"):
            summary |= to_values(message.summary.update)
    for name in ("top1", "top5", "gmacs", "params", "images_per_second"):
        assert summary[name] == pytest.approx(record[name])
    assert "epoch" in {message.metric.step_metric for message in messages if message.HasField("metric")}
    assert exit_codes(path) == [0]


class Recorder:
    """A wandb run that keeps what it is sent, or fails after it was closed."""

    id = "recorder"

    def __init__(self) -> None:
        self.history: list[dict] = []
        self.summary: dict = {}
        self.closed = False

    def log(self, values: dict, step: int) -> None:
        if self.closed:
            raise RuntimeError("the run is closed")
        self.history.append(values | {"step": step})


def test_declared_metrics_stand_beside_the_other_values():
    metrics = {metric.name: 7.5 for metric in METRICS}
    run = Recorder()
    wandb_logger = WandbLogger(run)
    wandb_logger.log_epoch(make_epoch(3, metrics=metrics))
    wandb_logger.log_result(make_record("gelu", 60.0, metrics=metrics))
    assert metrics.items() <= run.history[0].items()
    assert run.history[0]["step"] == run.history[0]["epoch"] == 3
    assert metrics.items() <= run.summary.items()
    assert run.summary["top1"] == 60.0
    assert "metrics" not in run.history[0].keys() | run.summary.keys()


def test_two_runs_of_a_process_are_two_wandb_runs(train_in_process, tmp_path):
    assert train_in_process("-m", "+step=gelu", "seed=0,1", "wandb=offline", *QUICK).returncode == 0
    files = offline_files(tmp_path)
    assert len({path.stem for path in files}) == 2
    assert [len(logged_epochs(path)) for path in files] == [1, 1]


class StopAfterFirstEpoch(ShutdownSignal):
    """As if a signal arrived after the first epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def requested(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "SIGTERM" if (self.folder / METRICS_FILE).exists() else None


def test_resumed_run_continues_the_same_wandb_run(tmp_path):
    experiment, execution = short_experiment("gelu", batch_size=512, epochs=3), execution_config()
    with pytest.raises(Interrupted):
        Trainer.from_experiment(experiment, tmp_path, execution, "offline", StopAfterFirstEpoch(tmp_path)).train()
    Trainer.from_experiment(experiment, tmp_path, execution, "offline").train()
    files = offline_files(tmp_path)
    assert len(files) == 2
    assert files[0].name == files[1].name  # run-ID.wandb
    assert [epoch["epoch"] for path in files for epoch in logged_epochs(path)] == [1, 2, 3]
    assert [exit_codes(path) for path in files] == [[1], [0]]


def test_offline_is_the_default_and_disabled_writes_nothing(train_in_process, tmp_path):
    assert "\nwandb: offline" in (ROOT / "configs/config.yaml").read_text()
    assert train_in_process("+step=gelu", *QUICK, "wandb=disabled").returncode == 0
    assert not list(tmp_path.rglob("*wandb*"))


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
        wandb_logger.log_epoch(make_epoch(number))
    assert caplog.messages == ["wandb failed (the run is closed); training continues without it"]


def test_unknown_mode_is_rejected(train_in_process):
    result = train_in_process("wandb=sometimes")
    assert result.returncode == 2
    assert "wandb must be one of offline, online, disabled, got 'sometimes'" in result.stderr
