"""Which checkpoints a run's folder has, and the end of what a killed process left there. Nothing here imports torch."""

import re
from contextlib import suppress
from pathlib import Path

from modernet.runtime.file_names import CHECKPOINTS, HOLDER_FILE, LOCK_FILE

PATTERN = re.compile(r"checkpoint-(\d{9})-([0-9a-f]{16})\.pt")  # optimizer steps done, checksum of the content


def list_checkpoints(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(path for path in folder.glob(CHECKPOINTS) if PATTERN.fullmatch(path.name))


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint's path."""
    return next(reversed(list_checkpoints(folder)), None)


def steps_done(folder: Path) -> int:
    """Optimizer steps up to the newest checkpoint; 0 where there is none."""
    path = latest_checkpoint(folder)
    match = PATTERN.fullmatch(path.name) if path else None
    return int(match[1]) if match else 0


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a finished run."""
    for path in list_checkpoints(folder):
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete the lock and the checkpoints of a finished run whose process was killed before it did so.

    They stay where a process holds the lock, which is about to remove them, and in a folder that may not be written.
    """
    with suppress(OSError):
        has_lock = any((folder / name).exists() for name in (LOCK_FILE, HOLDER_FILE))
        if has_lock or list_checkpoints(folder):
            from modernet.runtime.lock import is_locked, remove_lock

            if not is_locked(folder):
                remove_checkpoints(folder)
                remove_lock(folder)
