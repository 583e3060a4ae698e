"""One run: the stages of Trainer, its files, its failures, and resuming exactly where it stopped."""

import errno
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import (
    ALL_AUGMENTATION,
    MAIN_PATH,
    assert_identical_runs,
    data_config,
    execution_config,
    random_images,
    ready_trainer,
    short_experiment,
)
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook
from trials.processes import without_clock

from modernet.config.experiment import Experiment
from modernet.errors import ConnectionLost, DiskFull, Interrupted, OutOfMemory, RunLocked, UserError
from modernet.models.network import Network
from modernet.record import Record, find_record
from modernet.runtime.file_names import WEIGHTS_FILE
from modernet.runtime.lock import is_locked
from modernet.runtime.signals import ShutdownSignal
from modernet.training import checkpoint_files, trainer
from modernet.training.leftovers import latest_checkpoint, steps_done
from modernet.training.loop import evaluate
from modernet.training.trainer import Trainer

FINISHED_FILES = ["config.yaml", "metrics.jsonl", "model.pt", "record.json", "steps.jsonl", "train.log"]
STEPS_PER_EPOCH = 5


def quick_experiment(**changes: Any) -> Experiment:
    """Two epochs of five steps."""
    return short_experiment(data=random_images(160), **{"batch_size": 32, **changes})


def full_experiment() -> Experiment:
    """Everything that draws random numbers or keeps a state is on."""
    return quick_experiment(**ALL_AUGMENTATION, drop_path_rate=0.3, ema_decay=0.9)


def train_in(folder: Path, experiment: Experiment, shutdown: ShutdownSignal | None = None) -> Record:
    return Trainer.from_experiment(experiment, folder, execution_config(), shutdown=shutdown).train()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    """The folder of `full_experiment`, trained in one go."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    train_in(folder, full_experiment())
    return folder


def test_val_loss_of_the_record_is_that_of_the_saved_weights(tmp_path, uninterrupted):
    record = find_record(uninterrupted)
    assert record is not None
    with ready_trainer(tmp_path, full_experiment()) as trainer:
        trainer.state.model.load_state_dict(torch.load(uninterrupted / WEIGHTS_FILE, weights_only=True)["model"])
        assert evaluate(trainer.state.model, trainer.loader.eval_batches(), trainer.env).loss == record.val_loss


def test_record_says_that_a_cpu_repeats_the_run_bit_for_bit(uninterrupted):
    record = find_record(uninterrupted)
    assert record is not None
    assert record.machine["deterministic"] is True


def test_deterministic_changes_no_bit_on_a_cpu_and_ends_with_the_run(tmp_path, uninterrupted):
    for name, deterministic in (("on", True), ("off", False)):
        execution = execution_config(deterministic=deterministic)
        Trainer.from_experiment(full_experiment(), tmp_path / name, execution).train()
        assert torch.are_deterministic_algorithms_enabled() == deterministic
        assert_identical_runs(tmp_path / name, uninterrupted)


def test_stages_one_by_one_equal_train(tmp_path, uninterrupted):
    folder = tmp_path / "run"
    with Trainer.from_experiment(full_experiment(), folder, execution_config()) as stages:
        stages.validate()
        assert stages.plan.steps_per_epoch == STEPS_PER_EPOCH
        assert not folder.exists()
        stages.lock()
        assert is_locked(folder)
        stages.build()
        assert (stages.state.step, stages.state.epochs) == (0, [])
        stages.resume()
        failure = stages.fit()
        assert failure is None
        assert (stages.state.step, len(stages.state.epochs)) == (2 * STEPS_PER_EPOCH, 2)
        assert find_record(folder) is None
        record = stages.finalize(failure)
    expected = find_record(uninterrupted)
    assert expected is not None
    assert without_clock(asdict(record)) == without_clock(asdict(expected))
    assert_identical_runs(folder, uninterrupted)
    for finished in (folder, uninterrupted):
        assert sorted(path.name for path in finished.iterdir()) == FINISHED_FILES


@contextmanager
def request_stop_at_step(shutdown: ShutdownSignal, step: int) -> Iterator[None]:
    """A signal arrives during this optimizer step, counted from 1 in this process."""
    steps = iter(range(1, 1000))

    def count(*_: object) -> None:
        if next(steps) == step:
            shutdown.requested = "SIGTERM"

    hook = register_optimizer_step_post_hook(count)
    yield
    hook.remove()


@contextmanager
def request_stop_in_evaluation(shutdown: ShutdownSignal) -> Iterator[None]:
    """A signal arrives during the evaluation of the network, before that of its averaged weights."""

    def request(module: torch.nn.Module, _: object) -> None:
        if isinstance(module, Network) and not module.training:
            shutdown.requested = "SIGTERM"

    hook = register_module_forward_pre_hook(request)
    yield
    hook.remove()


class Killed(BaseException):
    """Nothing catches it, so nothing is saved."""


@contextmanager
def kill_at_step(step: int) -> Iterator[None]:
    """The process dies during this optimizer step."""
    steps = iter(range(1, 1000))

    def count(*_: object) -> None:
        if next(steps) == step:
            raise Killed

    hook = register_optimizer_step_post_hook(count)
    with pytest.raises(Killed):
        yield
    hook.remove()


STOPS: dict[str, Callable[[ShutdownSignal], Any]] = {
    "first step": lambda shutdown: request_stop_at_step(shutdown, 1),
    "middle of an epoch": lambda shutdown: request_stop_at_step(shutdown, 3),
    "last step of an epoch": lambda shutdown: request_stop_at_step(shutdown, STEPS_PER_EPOCH),
    "evaluation": request_stop_in_evaluation,
    "last step": lambda shutdown: request_stop_at_step(shutdown, 2 * STEPS_PER_EPOCH),
}


@pytest.mark.parametrize("stop", STOPS)
def test_resumed_run_equals_the_uninterrupted_one(tmp_path, uninterrupted, stop):
    """Also where the random generators were used in between."""
    shutdown = ShutdownSignal()
    with STOPS[stop](shutdown), pytest.raises(Interrupted, match="stopped by SIGTERM; rerun the same command"):
        train_in(tmp_path, full_experiment(), shutdown)
    assert find_record(tmp_path) is None
    torch.rand(5)
    train_in(tmp_path, full_experiment())
    assert_identical_runs(tmp_path, uninterrupted)
    assert (tmp_path / "train.log").read_text().count("resuming from step") == 1


@pytest.mark.parametrize(("checkpoint_minutes", "resumed_from"), [(0, 6), (60, None)])
def test_killed_run_resumes_from_its_last_checkpoint_or_starts_again(
    tmp_path, uninterrupted, checkpoint_minutes, resumed_from
):
    with kill_at_step(7):
        execution = execution_config(checkpoint_minutes=checkpoint_minutes)
        Trainer.from_experiment(full_experiment(), tmp_path, execution).train()
    assert steps_done(tmp_path) == (resumed_from or 0)
    assert not is_locked(tmp_path)
    train_in(tmp_path, full_experiment())
    assert_identical_runs(tmp_path, uninterrupted)
    assert (f"resuming from step {resumed_from}" in (tmp_path / "train.log").read_text()) == bool(resumed_from)


def test_run_resumes_from_the_checkpoint_before_a_damaged_one(tmp_path, uninterrupted):
    shutdown, execution = ShutdownSignal(), execution_config(checkpoint_minutes=0)
    interrupted = Trainer.from_experiment(full_experiment(), tmp_path, execution, shutdown=shutdown)
    with request_stop_at_step(shutdown, 7), pytest.raises(Interrupted):
        interrupted.train()
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    assert steps_done(tmp_path) == 7
    newest.write_bytes(newest.read_bytes()[:-1000])
    train_in(tmp_path, full_experiment())
    assert_identical_runs(tmp_path, uninterrupted)
    log = (tmp_path / "train.log").read_text()
    assert f"{newest} is damaged" in log
    assert "resuming from step 6" in log


def test_non_finite_loss_fails_the_run_and_its_record_says_why(tmp_path):
    record = train_in(tmp_path, quick_experiment(lr=1e30))
    assert (record.status, record.top1, record.epochs) == ("failed", None, 0)
    assert record.reason is not None
    assert "is not finite, at learning rate" in record.reason
    assert find_record(tmp_path) == record


def test_unexpected_error_fails_the_run_with_its_traceback_in_the_log(tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(trainer, "fit", broken)
    record = train_in(tmp_path, quick_experiment())
    assert (record.status, record.reason) == ("failed", "ZeroDivisionError: a bug")
    assert "Traceback" in (tmp_path / "train.log").read_text()


def test_error_after_a_signal_is_no_fault_of_the_run(tmp_path, monkeypatch):
    """The signal ends the children of torch's compiler too, which raises its own error."""

    def compile_dies(*_: object) -> None:
        shutdown.requested = "SIGTERM"
        raise RuntimeError("CppCompileError: C++ compile error")

    monkeypatch.setattr(trainer, "fit", compile_dies)
    shutdown = ShutdownSignal()
    with pytest.raises(Interrupted, match=r"^stopped by SIGTERM; .* from the start$"):
        Trainer.from_experiment(quick_experiment(), tmp_path, execution_config(), shutdown=shutdown).train()
    assert find_record(tmp_path) is None
    assert "from the start (RuntimeError: CppCompileError: C++ compile error)" in (tmp_path / "train.log").read_text()


def test_the_first_epoch_that_waits_for_data_is_warned_of(tmp_path, monkeypatch):
    def warn_from_the_second_on(epoch, num_workers):
        return f"epoch {epoch.epoch} waited" if epoch.epoch > 1 else None

    monkeypatch.setattr(trainer, "slow_input_warning", warn_from_the_second_on)
    Trainer.from_experiment(short_experiment("gelu", batch_size=512, epochs=3), tmp_path).train()
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert [line.partition("epoch ")[2] for line in lines if line.endswith(" waited")] == ["2 waited"]


def test_full_disk_ends_the_run_without_a_record_and_names_the_last_checkpoint(tmp_path, monkeypatch):
    def write_bytes(path: Path, content: bytes) -> None:
        if steps_done(tmp_path) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr(checkpoint_files, "write_bytes", write_bytes)
    execution = execution_config(checkpoint_minutes=0)
    with pytest.raises(DiskFull, match=r"no space left on the disk of .*; last good checkpoint: .*-000000002-"):
        Trainer.from_experiment(quick_experiment(), tmp_path, execution).train()
    assert find_record(tmp_path) is None


def test_missing_memory_ends_the_run_without_a_record_and_names_the_batch(tmp_path, monkeypatch):
    """Another machine, or the same one with less to do, can train it: the run has not failed."""

    def allocate(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(trainer, "fit", allocate)
    with pytest.raises(OutOfMemory, match="not enough memory for batches of 32 images of 8 px"):
        Trainer.from_experiment(quick_experiment(), tmp_path, execution_config()).train()
    assert find_record(tmp_path) is None


def test_second_trainer_of_a_locked_run_is_rejected(tmp_path):
    with ready_trainer(tmp_path):
        second = Trainer.from_experiment(short_experiment(), tmp_path, execution_config())
        with pytest.raises(RunLocked, match="is being trained by process"):
            second.train()


def test_train_returns_the_record_of_a_run_that_finished_meanwhile(uninterrupted, monkeypatch):
    monkeypatch.setattr(trainer, "fit", None)  # nothing is trained
    assert train_in(uninterrupted, full_experiment()) == find_record(uninterrupted)


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (
            replace(short_experiment(), model=replace(short_experiment().model, stem_stride=4)),
            "model.stem_stride=4 with model.downsample=separate needs images of at least 32 pixels, digits has 8",
        ),
        (
            short_experiment(batch_size=2048),
            "recipe.batch_size must be at most 1437, the number of training images, got 2048",
        ),
        (
            short_experiment(data=data_config("cifar10", root="/no/such/folder")),
            "/no/such/folder",
        ),
    ],
    ids=["image size", "batch size", "data root"],
)
def test_validate_rejects_inconsistent_values_and_leaves_no_folder(tmp_path, experiment, message):
    folder = tmp_path / "run"
    with pytest.raises(UserError, match=message):
        train_in(folder, experiment)
    assert not folder.exists()


@pytest.mark.parametrize("step", MAIN_PATH)
def test_every_step_trains_with_all_augmentations_and_ema(step, tmp_path):
    """With everything that the modern recipe switches on."""
    record = train_in(tmp_path, replace(full_experiment(), model=short_experiment(step).model, data=random_images(32)))
    assert (record.status, record.epochs) == ("done", 2)


@pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="Windows has no SIGCHLD")
@pytest.mark.parametrize("error", [RuntimeError, UserError])
def test_a_second_worker_that_dies_raises_nothing_while_a_run_ends_by_the_first(tmp_path, monkeypatch, error):
    """DataLoader's handler raises wherever the process is. After mistakes of a user its workers are still watched."""

    def handler(number: int, frame: object) -> None:
        raise RuntimeError("DataLoader worker (pid 2) is killed by signal: Killed.")

    def fit(self: Trainer) -> None:
        signal.signal(signal.SIGCHLD, handler)
        self.exit_stack.callback(lambda: found.append(signal.getsignal(signal.SIGCHLD)))
        raise error("DataLoader worker (pid 1) is killed by signal: Killed.")

    found: list[Any] = []
    monkeypatch.setattr(Trainer, "fit", fit)
    before = signal.getsignal(signal.SIGCHLD)
    try:
        with pytest.raises(ConnectionLost if error is RuntimeError else UserError):
            train_in(tmp_path, quick_experiment())
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert found == [signal.SIG_DFL if error is RuntimeError else handler]
