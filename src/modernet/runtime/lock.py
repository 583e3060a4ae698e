"""A lock in a run's folder: one process trains a run. The kernel releases the lock when the process dies."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from modernet.errors import RunLocked

LOCK_FILE = ".lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder. Raises RunLocked where another process holds it.

    The file stays for the next process and names the last holder.
    """
    path = folder / LOCK_FILE
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        holder = path.read_text(encoding="utf-8") or "another process"
        raise RunLocked(f"{folder} is being trained by {holder}; run the command again when it has finished") from None
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        lock.release()


def remove_lock(folder: Path) -> None:
    """Delete the lock file of a finished run; the holder calls this, and later processes find the record."""
    (folder / LOCK_FILE).unlink(missing_ok=True)


def lock_holder(folder: Path) -> int | None:
    """Process id of the last holder, if it was on this machine."""
    try:
        _, process, _, host = (folder / LOCK_FILE).read_text(encoding="utf-8").split()
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
