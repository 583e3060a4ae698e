"""The folder of a run: one process writes it, and what stands in its way is named."""

import os
import threading
import time
from pathlib import Path

import pytest
from helpers import execution_config, short_experiment

from modernet.errors import Interrupted, RunLocked, UserError
from modernet.runtime.distributed import DistributedEnv
from modernet.runtime.file_names import HOLDER_FILE
from modernet.runtime.lock import lock_holder, run_lock
from modernet.runtime.signals import ShutdownSignal
from modernet.training import trainer
from modernet.training.folder import FILES, hold_lock
from modernet.training.trainer import Trainer


def make_dangling_link(path: Path) -> None:
    path.symlink_to("absent")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("make", [Path.mkdir, make_dangling_link])
def test_folder_or_link_with_the_name_of_a_file_of_the_run_is_refused(tmp_path, name, make):
    make(tmp_path / name)
    lock = hold_lock(tmp_path, DistributedEnv(), ShutdownSignal(), wait=False)
    with pytest.raises(UserError, match=f"{name} is not a file, and the run writes one of that name"), lock:
        pass


def test_holder_removes_half_written_files_of_a_killed_process(tmp_path):
    (tmp_path / "wandb").mkdir()
    for name in ("record.json", "wandb/run.json"):
        (tmp_path / f"{name}.0a0a0a0a.part").write_text("half")
    with hold_lock(tmp_path, DistributedEnv(), ShutdownSignal(), wait=False):
        assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"process x on y", b"process 1 on 2 on 3", b""])
def test_holder_file_with_other_content_names_no_process(tmp_path, content):
    with run_lock(tmp_path):
        (tmp_path / HOLDER_FILE).write_bytes(content)
        assert lock_holder(tmp_path) is None
        with pytest.raises(RunLocked, match="is being trained by another process"), run_lock(tmp_path):
            pass


def test_wait_ends_when_the_holder_releases_the_lock(tmp_path, capsys):
    released = []

    def hold() -> None:
        with run_lock(tmp_path):
            held.set()
            time.sleep(3)
            released.append(True)

    held, holder = threading.Event(), threading.Thread(target=hold)
    holder.start()
    held.wait()
    with hold_lock(tmp_path, DistributedEnv(), ShutdownSignal(), wait=True):
        assert released
    holder.join()
    assert f"waiting: {tmp_path} is being trained by process {os.getpid()} on " in capsys.readouterr().err


def test_signal_ends_the_wait(tmp_path):
    shutdown = ShutdownSignal()
    shutdown.requested = "SIGTERM"
    lock = hold_lock(tmp_path, DistributedEnv(), shutdown, wait=True)
    with run_lock(tmp_path), pytest.raises(Interrupted, match="SIGTERM"), lock:
        pass


def test_process_that_waited_returns_the_record_of_the_other(tmp_path, monkeypatch):
    def train(**execution: bool):
        return Trainer.from_experiment(short_experiment(epochs=1), tmp_path, execution_config(**execution)).train()

    record = train()
    monkeypatch.setattr(trainer, "fit", None)  # nothing is trained
    assert train(wait=True) == record
    assert not list(tmp_path.glob(".*"))
