"""Checkpoints: written whole or not at all, checked when they are read, the last two kept."""

import hashlib
import io
import os
import re
from pathlib import Path
from typing import Any

import torch

from modernet.log import logger

KEPT = 2
PATTERN = re.compile(r"checkpoint-(\d{9})-([0-9a-f]{16})\.pt")  # optimizer steps done, and the content's checksum


def _found(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(path for path in folder.glob("checkpoint-*.pt") if PATTERN.fullmatch(path.name))


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def write_bytes(path: Path, content: bytes) -> None:
    """All of it, on the disk, or nothing. Raises OSError where the disk does not take it."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def packed(state: Any) -> bytes:
    """What torch.save writes, in memory."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the state after `step` optimizer steps, then take away what is older than the one before."""
    content = packed(state)
    path = folder / f"checkpoint-{step:09}-{_checksum(content)}.pt"
    write_bytes(path, content)
    for older in _found(folder)[:-KEPT]:
        older.unlink()
    return path


def load(folder: Path) -> dict[str, Any] | None:
    """The newest state that is as it was written; None where there is none. Warns of those that are not."""
    for path in reversed(_found(folder)):
        content = path.read_bytes()
        match = PATTERN.fullmatch(path.name)
        assert match is not None
        if _checksum(content) == match[2]:
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        logger.warning(f"{path} was truncated or altered since it was written; going on without it")
    return None


def last(folder: Path) -> Path | None:
    """The newest one, as messages name it."""
    return next(reversed(_found(folder)), None)


def steps_done(folder: Path) -> int:
    """Optimizer steps up to the newest one; 0 where there is none."""
    match = PATTERN.fullmatch(path.name) if (path := last(folder)) else None
    return int(match[1]) if match else 0


def remove(folder: Path) -> None:
    """Of a finished run."""
    for path in _found(folder):
        path.unlink()
