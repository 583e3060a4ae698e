"""A checkpoint is whole or not there, checked when it is read, and two are kept."""

import logging
import os
import subprocess
import sys

import pytest
import torch

from modernet.training.state import checkpoint


def state(step: int) -> dict:
    return {"step": step, "model": {"weight": torch.full((4,), float(step))}, "sums": [1.0, 2.0], "wandb": None}


def test_the_newest_comes_back_and_two_are_kept(tmp_path):
    assert checkpoint.load(tmp_path) is None
    paths = [checkpoint.save(tmp_path, step, state(step)) for step in (3, 12, 100)]
    found = checkpoint.load(tmp_path)
    assert found is not None
    assert found["step"] == 100
    assert torch.equal(found["model"]["weight"], torch.full((4,), 100.0))
    assert checkpoint.last(tmp_path) == paths[-1]
    assert sorted(tmp_path.iterdir()) == paths[1:]
    checkpoint.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "altered", "emptied"])
def test_a_damaged_one_is_named_and_the_one_before_is_used(tmp_path, damage, caplog):
    checkpoint.save(tmp_path, 1, state(1))
    newest = checkpoint.save(tmp_path, 2, state(2))
    content = bytearray(newest.read_bytes())
    if damage == "altered":
        content[len(content) // 2] ^= 1
    newest.write_bytes({"truncated": content[:-10], "altered": content, "emptied": b""}[damage])
    with caplog.at_level(logging.WARNING, "modernet"):
        found = checkpoint.load(tmp_path)
    assert found is not None
    assert found["step"] == 1
    assert str(newest) in caplog.text


class Dropper:
    """What a checkpoint must not be able to do."""

    def __reduce__(self):
        return os.mkdir, ("dropped",)


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint.save(tmp_path, 1, {"step": Dropper()})
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        checkpoint.load(tmp_path)
    assert not (tmp_path / "dropped").exists()


def on_a_small_disk(tmp_path, command: list[str], megabytes: int) -> subprocess.CompletedProcess[str]:
    """Run with a real file system of that size at tmp_path/disk; skips where a user may not mount one."""
    (tmp_path / "disk").mkdir()
    mount = f'mount -t tmpfs -o size={megabytes}m tmpfs {tmp_path / "disk"} && exec "$@"'
    words = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    try:
        allowed = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("needs to mount a small file system (unshare --map-root-user --mount)")
    return subprocess.run([*words, *command], capture_output=True, text=True, check=False)


FILL = """
import sys
from pathlib import Path
import torch
from modernet.training.state import checkpoint
folder = Path(sys.argv[1])
checkpoint.save(folder, 1, {"weight": torch.zeros(100_000)})
try:
    checkpoint.save(folder, 2, {"weight": torch.zeros(1_000_000)})
except OSError as error:
    print(error.strerror)
print(sorted(path.name[:20] for path in folder.iterdir()), checkpoint.load(folder)["weight"].shape)
"""


def test_a_full_disk_leaves_the_last_good_one(tmp_path):
    result = on_a_small_disk(tmp_path, [sys.executable, "-c", FILL, str(tmp_path / "disk")], megabytes=2)
    assert result.stdout.splitlines() == [
        "No space left on device",
        "['checkpoint-000000001'] torch.SizeConfig([100000])",
    ], result.stderr
