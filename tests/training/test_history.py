"""The curve over steps: what its rows hold, and that a run that is stopped has every row once."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import assert_identical_runs, execution_config, random_images, ready_trainer, short_experiment
from torch.optim.optimizer import register_optimizer_step_pre_hook
from trials.processes import without_clock

from modernet.curves import load_steps
from modernet.record import Steps
from modernet.runtime.file_names import LOG_FILE, METRICS_FILE, STEPS_FILE
from modernet.training.trainer import Trainer


def experiment():
    """Two epochs of five steps."""
    return short_experiment("gelu", data=random_images(160), batch_size=32)


def train(folder: Path, every: int = 2, **execution: Any) -> Path:
    Trainer.from_experiment(experiment(), folder, execution_config(log_every_steps=every, **execution)).train()
    return folder


def rows(folder: Path) -> list[dict[str, float]]:
    return load_steps(folder / STEPS_FILE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("run"))


def test_rows_are_means_over_the_steps_since_the_row_before(trained, tmp_path):
    epochs = [json.loads(line) for line in (trained / METRICS_FILE).read_text().splitlines()]
    assert [row["step"] for row in rows(trained)] == [2, 4, 5, 7, 9, 10], "every two steps of an epoch, and its last"
    assert [row["epoch"] for row in rows(trained)] == pytest.approx([0.4, 0.8, 1.0, 1.4, 1.8, 2.0])
    for name in ("train_loss", "train_top1"):
        for epoch, part in zip(epochs, (rows(trained)[:3], rows(trained)[3:]), strict=True):
            mean = sum(weight * row[name] for weight, row in zip((2, 2, 1), part, strict=True)) / 5
            assert mean == pytest.approx(epoch[name])
            assert part[-1]["lr"] == epoch["lr"]
    single = {row["step"]: row["train_loss"] for row in rows(train(tmp_path, every=1))}
    assert rows(trained)[0]["train_loss"] == pytest.approx((single[1] + single[2]) / 2)
    assert all(row["images_per_second"] > 0 and 0 <= row["data_wait"] <= 100 for row in rows(trained))


def test_grad_norm_is_that_of_the_last_steps_gradient(trained, tmp_path):
    norms = []

    def remember(optimizer: torch.optim.Optimizer, *_: object) -> None:
        gradients = [p.grad.flatten() for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.cat(gradients).norm().item())

    hook = register_optimizer_step_pre_hook(remember)
    train(tmp_path)
    hook.remove()
    expected = [norms[int(row["step"]) - 1] for row in rows(trained)]
    assert [row["grad_norm"] for row in rows(tmp_path)] == pytest.approx(expected, rel=1e-4)


def test_rows_change_no_result_by_a_bit(trained, tmp_path):
    assert_identical_runs(trained, train(tmp_path, every=1000))
    assert [row["step"] for row in rows(tmp_path)] == [5, 10]


class Killed(Exception):
    """Ends the process's training at once."""


def train_and_kill(folder: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill a run two steps after its checkpoint at `step`, with rows after it and a half-written line."""
    trainer = Trainer.from_experiment(experiment(), folder, execution_config(log_every_steps=2))
    for stage in (trainer.validate, trainer.lock, trainer.build, trainer.resume):
        stage()
    checkpoints = trainer.checkpoints

    def after_step(state: Any, losses: Any) -> bool:
        checkpoints.seconds = 0.0 if state.step == step else 1e9
        if state.step == min(step + 2, 10):
            losses.read(wait=True)
            raise Killed
        return type(checkpoints).after_step(checkpoints, state, losses)

    monkeypatch.setattr(checkpoints, "after_step", after_step)
    with trainer, pytest.raises(Killed):
        list(map(trainer.history.write_epoch, trainer.epochs()))
    with (folder / STEPS_FILE).open("a") as file:
        file.write('{"step": 1')


@pytest.mark.parametrize("step", [3, 5, 8])
def test_run_that_is_killed_and_resumed_has_every_row_once(trained, tmp_path, step, monkeypatch):
    train_and_kill(tmp_path, step, monkeypatch)
    train(tmp_path)
    assert list(map(without_clock, rows(tmp_path))) == list(map(without_clock, rows(trained)))
    assert_identical_runs(trained, tmp_path)
    assert "missing or damaged" not in (tmp_path / LOG_FILE).read_text()


def test_rows_that_are_damaged_before_the_checkpoint_are_named_and_the_result_is_the_same(
    trained, tmp_path, monkeypatch
):
    train_and_kill(tmp_path, 8, monkeypatch)  # rows 2, 4, 5, 7
    lines = (tmp_path / STEPS_FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / STEPS_FILE).write_bytes(b"".join([lines[0], b"\0\1", *lines[1:]]))
    train(tmp_path)
    assert f"{STEPS_FILE}: the rows of steps 3 to 7 are missing or damaged" in (tmp_path / LOG_FILE).read_text()
    assert [row["step"] for row in rows(tmp_path)] == [2, 9, 10]
    assert_identical_runs(trained, tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_row_that_cannot_be_written_is_an_error_with_the_path(tmp_path):
    path = tmp_path / STEPS_FILE
    with ready_trainer(tmp_path, experiment()) as trainer:
        path.unlink()
        path.symlink_to("/dev/full")
        row = Steps(step=1, epoch=0.1, lr=0.1, train_loss=1.0, train_top1=0.0, images_per_second=1.0, data_wait=0.0)
        with pytest.raises(OSError, match=rf"No space left on device: '{path}'"):
            trainer.history.write_steps(row)
