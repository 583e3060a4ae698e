"""One process trains a run: it holds a lock in the run's folder that ends with it, however it ends."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from modernet.errors import Busy

NAME = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder. Raises Busy where another process does.

    The kernel lets go of it when the process dies; the file stays for the next one, and says who held it last.
    """
    path = folder / NAME
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        who = path.read_text() or "another process"
        raise Busy(f"{folder} is being trained by {who}; when that is done its record is found") from None
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        lock.release()


def remove(folder: Path) -> None:
    """Of a finished run, by who holds it: nobody waits for it, and whoever takes a new one finds the record."""
    (folder / NAME).unlink(missing_ok=True)


def holder(folder: Path) -> int | None:
    """The process on this machine that held the lock last."""
    try:
        _, process, _, host = (folder / NAME).read_text().split()
    except (OSError, ValueError):
        return None
    return int(process) if host == socket.gethostname() else None


def is_held(folder: Path) -> bool:
    """Whether some process trains this run now."""
    if not (folder / NAME).exists():
        return False
    try:
        with FileLock(folder / NAME, timeout=0):
            return False
    except Timeout:
        return True
