"""Files that are written whole or not at all."""

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from errno import ENOENT
from glob import escape
from pathlib import Path

PART = ".part"  # ending of a file that is being written
ABANDONED_AFTER = 3600  # seconds; a file with this ending is older only where its process was killed


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` atomically; a crash leaves the old one. Raises OSError that names `path`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file at `path` atomically, synced to the disk; a crash leaves the old one.

    Several processes may write the same path: the last one wins. Raises OSError that names `path`.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        _remove_abandoned(path)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        with suppress(OSError):  # where the folder is read-only, there is nothing to remove
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def find_files(folder: Path, name: str, on_error: Callable[[OSError], None] | None = None) -> list[Path]:
    """The files of this name below a folder, sorted, also behind links to folders; each folder is read once.

    `on_error` is called for a folder that is there and cannot be read, and for a link that leads nowhere, which could
    be a folder's, but in and below folders with such a file.
    """
    found: list[Path] = []
    found_in: set[Path] = set()
    seen: set[str] = set()

    def report(error: OSError) -> None:
        if on_error and not isinstance(error, FileNotFoundError):
            on_error(error)

    for here, folders, files in os.walk(folder, onerror=report, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        if name in files or name in folders:
            found.append(Path(here, name))
            found_in.add(Path(here))
        elif on_error and not found_in.intersection(Path(here).parents):
            for path in (Path(here, file) for file in files):
                if path.is_symlink() and not path.exists():
                    on_error(FileNotFoundError(ENOENT, "a link that leads nowhere", str(path)))
    return sorted(found)


def remove_parts(folder: Path) -> None:
    """Delete what a killed process left half-written in a folder and the folders in it.

    Nobody else may write there now.
    """
    for part in (*folder.glob(f"*{PART}"), *folder.glob(f"*/*{PART}")):
        part.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    for part in path.parent.glob(f"{escape(path.name)}.*{PART}"):
        with suppress(OSError):  # another process removes it, too
            if time.time() - part.stat().st_mtime > ABANDONED_AFTER:
                part.unlink()
