"""A fault of the file system is one line that names the path, in every command."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, run_script

from modernet import cli


@pytest.mark.parametrize(
    ("number", "status"),
    [
        *((errno.ENOSPC, 1), (errno.EDQUOT, 1), (errno.EIO, 1), (errno.EMFILE, 1)),
        *((errno.EROFS, 2), (errno.EACCES, 2), (errno.ENOENT, 2), (errno.ENOTDIR, 2), (errno.EISDIR, 2)),
        *((errno.EEXIST, 2), (errno.ELOOP, 2), (errno.ENAMETOOLONG, 2)),
    ],
)
def test_failed_operation_on_a_path_is_one_line_that_names_it(number, status, capsys):
    with pytest.raises(SystemExit) as exit_, cli.exit_on_error():
        raise OSError(number, os.strerror(number), "some/path")
    assert exit_.value.code == status
    (line,) = capsys.readouterr().err.splitlines()
    assert f": error: some/path: {os.strerror(number)}; " in line


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))])
def test_missing_memory_is_one_line_and_status_1(error, capsys):
    with pytest.raises(SystemExit) as exit_, cli.exit_on_error():
        raise error
    assert exit_.value.code == 1
    assert "the machine has not enough memory" in capsys.readouterr().err


def test_os_error_without_a_path_keeps_its_traceback():
    with pytest.raises(OSError, match="a bug"), cli.exit_on_error():
        raise OSError(errno.EACCES, "a bug")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_of_the_output_is_one_line():
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "scripts/table.py", "results/studies"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("table.py: error: stdout: No space left on device; ")
    assert "Traceback" not in result.stderr


def place_file(runs):
    runs.write_text("")


def place_loop(runs):
    runs.symlink_to(runs)


def place_dangling_link(runs):
    runs.symlink_to(runs.parent / "absent" / "absent")


@pytest.mark.parametrize("place", [place_file, place_loop, place_dangling_link])
@pytest.mark.parametrize("sweep", [(), ("-m", "seed=0,1")])
def test_runs_that_is_no_folder_is_one_line_and_status_2(tmp_path, place, sweep):
    place(tmp_path / "runs")
    result = run_script("train.py", *sweep, "+step=gelu", "wandb=disabled", f"runs={tmp_path / 'runs'}")
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("2 runs: ")]
    assert line.startswith(f"train.py: error: {tmp_path / 'runs'}")
