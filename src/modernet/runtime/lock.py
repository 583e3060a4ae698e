"""A lock in a run's folder: one process trains a run. The kernel releases the lock when the process dies."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from modernet.errors import RunLocked

LOCK_FILE = ".lock"
HOLDER_FILE = ".holder"  # a file besides, as Windows lets nobody read a locked one


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
        holder = holder_file.read_text(encoding="utf-8") if holder_file.exists() else "another process"
        raise RunLocked(f"{folder} is being trained by {holder}; run the command again when it has finished") from None
    try:
        holder_file.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        lock.release()


def remove_lock(folder: Path) -> None:
    """Delete the lock files of a finished run; the holder calls this, and later processes find the record."""
    for name in (LOCK_FILE, HOLDER_FILE):
        (folder / name).unlink(missing_ok=True)


def lock_holder(folder: Path) -> int | None:
    """Process id of the last holder, if it was on this machine."""
    try:
        _, process, _, host = (folder / HOLDER_FILE).read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return int(process) if host == socket.gethostname() else None


def is_locked(folder: Path) -> bool:
    """Whether a process is training this run now."""
    if not (folder / LOCK_FILE).exists():
        return False
    try:
        with FileLock(folder / LOCK_FILE, timeout=0):
            return False
    except Timeout:
        return True
