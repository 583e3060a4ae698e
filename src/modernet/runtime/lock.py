"""A lock in a run's folder: one process trains a run. The kernel releases the lock when the process dies."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from modernet.errors import RunLocked
from modernet.runtime.file_names import HOLDER_FILE, LOCK_FILE

HOLDER = re.compile(r"process (\d+) on (\S+)")


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder. Raises RunLocked where another process holds it.

    Both files stay for the next process.
    """
    holder_file = folder / HOLDER_FILE
    lock = FileLock(folder / LOCK_FILE, timeout=1)  # seconds; `is_locked` in another process holds it for an instant
    try:
        lock.acquire()
    except Timeout:
        raise RunLocked(
            f"{folder} is being trained by {_read_holder(folder)}; run the command again when it has finished, or add "
            "wait=true"
        ) from None
    try:
        holder_file.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        lock.release()


def _read_holder(folder: Path) -> str:
    """Who says that he holds the lock; the file may be missing, and whoever damaged it may have written anything."""
    try:
        holder = (folder / HOLDER_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        holder = ""
    return holder if HOLDER.fullmatch(holder) else "another process"


def remove_lock(folder: Path) -> None:
    """Delete the lock files of a finished run; the holder calls this, and later processes find the record."""
    for name in (LOCK_FILE, HOLDER_FILE):
        (folder / name).unlink(missing_ok=True)


def lock_holder(folder: Path) -> int | None:
    """Process id of the last holder, if it was on this machine."""
    match = HOLDER.fullmatch(_read_holder(folder))
    return int(match[1]) if match and match[2] == socket.gethostname() else None


def is_locked(folder: Path) -> bool:
    """Whether a process is training this run now."""
    if not (folder / LOCK_FILE).exists():
        return False
    try:
        with FileLock(folder / LOCK_FILE, timeout=0):
            return False
    except Timeout:
        return True
