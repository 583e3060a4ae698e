"""Files are replaced whole or not at all."""

import sys

import pytest
from helpers import run_on_small_disk

from modernet.runtime.io import write_bytes, write_text


def test_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"a longer first content")
    write_text(path, "naïve")
    assert path.read_text(encoding="utf-8") == "naïve"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    (tmp_path / "file.part").mkdir()  # cannot be opened for writing
    with pytest.raises(OSError, match="directory"):
        write_text(path, "new")
    assert path.read_text() == "old"


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
