"""What ends a run from outside: a full disk, a process that died. The same command resumes it."""

import errno
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modernet.errors import ConnectionLost, DiskFull, ModernetError, squeeze
from modernet.runtime.collectives import is_communication_error
from modernet.training.checkpoint import latest_checkpoint

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# DataLoader reports a dead worker process as a RuntimeError; its cause names the signal, if there was one.
WORKER_DIED = re.compile(r"DataLoader worker .*(exited unexpectedly|killed by signal)")
WORKER_CRASHED = re.compile(r"killed by signal: (Segmentation fault|Bus error|Floating point|Aborted)|exit code")


def is_interruption(error: BaseException) -> bool:
    """Whether another process ended from outside: another rank, or a worker process that loads images."""
    return is_communication_error(error) or _is_worker_killed(error) or _is_connection_cut(error)


def _is_connection_cut(error: BaseException) -> bool:
    """Whether a worker died while it handed a batch over; an error inside a worker arrives as `Caught ...`."""
    return isinstance(error, ConnectionError | EOFError) and not str(error).startswith("Caught ")


def _is_worker_killed(error: BaseException | None) -> bool:
    messages = []
    while error is not None:
        if isinstance(error, RuntimeError):
            messages.append(str(error))
        error = error.__cause__ or error.__context__
    text = "\n".join(messages)
    return bool(WORKER_DIED.search(text)) and not WORKER_CRASHED.search(text)


def _stop_watching_workers() -> None:
    """DataLoader's handler would raise again, anywhere, for each of its workers that ends from now on."""
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():  # not on Windows
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@contextmanager
def explain_interruption(folder: Path) -> Iterator[None]:
    """Raise what ended the run in `folder` from outside as DiskFull or ConnectionLost; other errors pass."""
    try:
        yield
    except ModernetError:
        raise
    except Exception as error:
        path = latest_checkpoint(folder) or "none"
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise DiskFull(f"no space left on the disk of {folder}; last good checkpoint: {path}") from error
        if is_interruption(error):
            _stop_watching_workers()
            reason = f"another process of the run died ({squeeze(error)[:200]})"
            raise ConnectionLost(f"{reason}; rerun the same command to resume; last good checkpoint: {path}") from error
        raise
