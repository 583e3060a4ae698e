"""Files are replaced whole or not at all."""

import errno
import os
import subprocess
import sys
import time

import pytest
from helpers import run_on_small_disk

from modernet.runtime.io import remove_parts, write_bytes, write_text


def test_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"a longer first content")
    write_text(path, "naïve")
    assert path.read_text(encoding="utf-8") == "naïve"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_keeps_the_old_file_and_names_it(tmp_path, monkeypatch):
    def fail(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left") as raised:
        write_text(path, "new")
    assert raised.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_of_one_file_do_not_mix_their_contents(tmp_path):
    """With one temporary file for all, a writer would rename what another has half written."""
    command = (
        "import sys; from pathlib import Path; from modernet.runtime.io import write_bytes\n"
        "for _ in range(200): write_bytes(Path(sys.argv[1]), sys.argv[2].encode() * 10_000)"
    )
    path = tmp_path / "file"
    writers = [subprocess.Popen([sys.executable, "-c", command, str(path), letter]) for letter in "abcd"]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            content = path.read_bytes()
            assert content == content[:1] * 10_000
    assert [writer.returncode for writer in writers] == [0] * 4
    assert list(tmp_path.iterdir()) == [path]


def test_parts_of_killed_processes_are_removed(tmp_path):
    path, abandoned, running = tmp_path / "file", tmp_path / "file.0a0a0a0a.part", tmp_path / "file.0b0b0b0b.part"
    for part in (abandoned, running):
        part.write_text("half")
    hours_ago = time.time() - 7200
    os.utime(abandoned, (hours_ago, hours_ago))
    write_text(path, "new")
    assert sorted(tmp_path.iterdir()) == [path, running]
    remove_parts(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


FILL_DISK = """
import sys
from pathlib import Path
from modernet.runtime.io import write_bytes
path = Path(sys.argv[1]) / "file"
write_bytes(path, b"old")
try:
    write_bytes(path, bytes(2_000_000))
except OSError as error:
    print(error.strerror, path.read_bytes(), [file.name for file in path.parent.iterdir()])
"""


def test_full_disk_keeps_the_old_file_and_no_partial_one(tmp_path):
    result = run_on_small_disk(tmp_path, [sys.executable, "-c", FILL_DISK, str(tmp_path / "disk")], megabytes=1)
    assert result.stdout.strip() == "No space left on device b'old' ['file']", result.stderr
