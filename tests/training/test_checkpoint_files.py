"""Files of checkpoints: bound to their run, verified when they are read, bad ones set aside, the last two kept."""

import copy
import hashlib
import logging
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import MakesFolder, ready_trainer, run_on_small_disk

from modernet.training.checkpoint_files import (
    SCHEMA_VERSION,
    RunIdentity,
    load_checkpoint,
    save_checkpoint,
    serialize,
)
from modernet.training.leftovers import latest_checkpoint, remove_checkpoints, steps_done
from modernet.training.state import TrainState

RUN = RunIdentity("0123456789", 0)


@pytest.fixture
def fresh(tmp_path, monkeypatch) -> TrainState:
    """The state of a run at step 0."""
    with ready_trainer(tmp_path / "fresh") as trainer:
        state = trainer.state
    monkeypatch.setattr(logging.getLogger("modernet"), "propagate", True)  # to caplog
    return state


def saved_state(fresh: TrainState, step: int) -> dict[str, Any]:
    """A state of the same network, after some steps."""
    state: dict[str, Any] = copy.deepcopy(fresh.state_dict()) | {"step": step}
    state["model"]["classifier.bias"].fill_(step)
    return state


def test_newest_of_two_kept_checkpoints_is_loaded(tmp_path, fresh):
    folder = tmp_path / "run"
    folder.mkdir()
    assert load_checkpoint(folder, RUN, fresh) is None
    assert steps_done(folder) == 0
    paths = [save_checkpoint(folder, step, saved_state(fresh, step), RUN) for step in (3, 12, 100)]
    loaded = load_checkpoint(folder, RUN, fresh)
    assert loaded is not None
    assert loaded["step"] == steps_done(folder) == 100
    assert loaded["model"]["classifier.bias"].tolist() == [100.0] * 10
    assert latest_checkpoint(folder) == paths[-1]
    assert sorted(folder.iterdir()) == paths[1:]
    remove_checkpoints(folder)
    assert list(folder.iterdir()) == []


def write_named(folder: Path, step: int, content: bytes) -> Path:
    """A file with a valid name of a checkpoint."""
    path = folder / f"checkpoint-{step:09}-{hashlib.sha256(content).hexdigest()[:16]}.pt"
    path.write_bytes(content)
    return path


def damaged(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def linked(folder: Path) -> Path:
    path = folder / "checkpoint-000000002-0123456789abcdef.pt"
    path.symlink_to(folder / "absent")
    return path


def piped(folder: Path) -> Path:
    path = folder / "checkpoint-000000002-0123456789abcdef.pt"
    os.mkfifo(path)
    return path


def made_folder(folder: Path) -> Path:
    path = folder / "checkpoint-000000002-0123456789abcdef.pt"
    (path / "inside").mkdir(parents=True)
    return path


def saved(folder: Path, fresh: TrainState, run: RunIdentity = RUN, **changes: Any) -> Path:
    return save_checkpoint(folder, 2, saved_state(fresh, 2) | changes, run)


def altered(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


def without_keys(folder: Path, fresh: TrainState) -> Path:
    state = {"schema_version": SCHEMA_VERSION, "run": {"hash": RUN.hash, "seed": RUN.seed}}
    return write_named(folder, 2, serialize(state | {"model": fresh.model.state_dict()}))


def other_network(fresh: TrainState) -> dict[str, torch.Tensor]:
    return fresh.model.state_dict() | {"classifier.bias": torch.zeros(11)}


def other_optimizer(fresh: TrainState) -> dict[str, Any]:
    state = copy.deepcopy(fresh.optimizer.state_dict())
    return state | {"state": {0: {"exp_avg": torch.zeros(3)}}}


# What stands where the newest checkpoint of the run should -> what the warning says of it.
BAD: dict[str, tuple[Callable[[Path, TrainState], Path], str]] = {
    "truncated": (lambda f, s: damaged(p := saved(f, s), p.read_bytes()[:-10]), "is damaged (its checksum differs)"),
    "altered": (lambda f, s: damaged(p := saved(f, s), altered(p)), "is damaged (its checksum differs)"),
    "emptied": (lambda f, s: damaged(saved(f, s), b""), "is damaged (its checksum differs)"),
    "zero bytes with their checksum": (lambda f, s: write_named(f, 2, b""), "holds no tensors and plain values"),
    "pickle": (lambda f, s: write_named(f, 2, pickle.dumps(MakesFolder())), "holds no tensors and plain values"),
    "pickle of torch": (lambda f, s: write_named(f, 2, serialize(MakesFolder())), "holds no tensors and plain values"),
    "list": (lambda f, s: write_named(f, 2, serialize([1, 2])), "holds something else than a checkpoint"),
    "empty dictionary": (lambda f, s: write_named(f, 2, serialize({})), "holds something else than a checkpoint"),
    "keys missing": (without_keys, "lacks data_seconds, ema_model, epochs"),
    "weights": (lambda f, s: write_named(f, 2, serialize(s.weights())), "has schema version 1, this modernet reads 2"),
    "later version": (lambda f, s: saved(f, s, schema_version=3), "has schema version 3, this modernet reads 2"),
    "other seed": (lambda f, s: saved(f, s, RunIdentity("abc", 1)), "is of another run (abc, seed 1 instead of"),
    "other run": (lambda f, s: saved(f, s, RunIdentity("abc", 0)), "is of another run (abc, seed 0 instead of"),
    "other network": (lambda f, s: saved(f, s, model=other_network(s)), "is of another network"),
    "other EMA": (lambda f, s: saved(f, s, ema_model={}), "is of another network"),
    "other optimizer": (lambda f, s: saved(f, s, optimizer=other_optimizer(s)), "is of another optimizer"),
    "no optimizer": (lambda f, s: saved(f, s, optimizer=[]), "is of another optimizer"),
    "invalid value": (lambda f, s: saved(f, s, epochs=[{"epoch": 1}]), "has an invalid value of epochs"),
    "other step": (lambda f, s: saved(f, s, step=5), "has another step than its name (5)"),
    "folder": (lambda f, s: made_folder(f), "is not a file"),
    "dangling link": (lambda f, s: linked(f), "is not a file"),
    "named pipe": (lambda f, s: piped(f), "is not a file"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("has_earlier", [True, False])
def test_bad_checkpoint_is_named_and_set_aside(tmp_path, fresh, kind, has_earlier, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    if has_earlier:
        save_checkpoint(folder, 1, saved_state(fresh, 1), RUN)
    make, reason = BAD[kind]
    path = make(folder, fresh)
    with caplog.at_level(logging.WARNING, "modernet"):
        loaded = load_checkpoint(folder, RUN, fresh)
    assert (loaded and loaded["step"]) == (1 if has_earlier else None)
    (warning,) = caplog.messages
    assert warning.startswith(f"{path} {reason}")
    remedy = "the checkpoint before it is used" if has_earlier else "the run begins again"
    assert warning.endswith(f"; it is now {path.name}.bad, and {remedy}")
    assert not os.path.lexists(path)
    assert os.path.lexists(f"{path}.bad")
    assert not (tmp_path / "made").exists(), "a pickle was executed"
    assert steps_done(folder) == (1 if has_earlier else 0)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_checkpoint_stays_where_memory_is_too_short_to_read_it(tmp_path, fresh, error, monkeypatch):
    def load(*_: object, **__: object) -> None:
        raise error

    path = save_checkpoint(tmp_path / "fresh", 2, saved_state(fresh, 2), RUN)
    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(type(error)):
        load_checkpoint(tmp_path / "fresh", RUN, fresh)
    assert path.is_file()


def test_bad_checkpoints_with_one_name_are_all_kept(tmp_path, fresh):
    for _ in range(2):
        made_folder(tmp_path)
        assert load_checkpoint(tmp_path, RUN, fresh) is None
    assert len(list(tmp_path.glob("checkpoint-*.pt.bad*"))) == 2


def test_folder_with_the_name_of_an_older_checkpoint_is_set_aside(tmp_path, fresh, caplog):
    """It could not be deleted when newer checkpoints replace it."""
    older = tmp_path / "checkpoint-000000001-0123456789abcdef.pt"
    older.mkdir()
    save_checkpoint(tmp_path, 2, saved_state(fresh, 2), RUN)
    with caplog.at_level(logging.WARNING, "modernet"):
        assert load_checkpoint(tmp_path, RUN, fresh) is not None
    assert caplog.messages == [f"{older} is not a file; it is now {older.name}.bad"]


FILL_DISK = """
import sys
from pathlib import Path
import torch
from modernet.training.checkpoint_files import RunIdentity, save_checkpoint
folder, run = Path(sys.argv[1]), RunIdentity("hash", 0)
save_checkpoint(folder, 1, {"weight": torch.zeros(100_000)}, run)
try:
    save_checkpoint(folder, 2, {"weight": torch.zeros(1_000_000)}, run)
except OSError as error:
    print(error.strerror)
print(sorted(path.name[:20] for path in folder.iterdir()))
"""


@pytest.mark.slow
def test_full_disk_keeps_the_last_good_checkpoint(tmp_path):
    result = run_on_small_disk(tmp_path, [sys.executable, "-c", FILL_DISK, str(tmp_path / "disk")], megabytes=2)
    expected = ["No space left on device", "['checkpoint-000000001']"]
    assert result.stdout.splitlines() == expected, result.stderr
