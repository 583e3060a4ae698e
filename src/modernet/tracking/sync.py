"""Runs that were kept offline are pushed by wandb's own `wandb sync`, whole, in order, and once."""

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modernet import record
from modernet.tracking.login import IMPATIENT

CUT_OFF = "the file ends with an incomplete record"  # as wandb says of a training that was killed as it wrote


@dataclass(frozen=True)
class Outcome:
    """What became of one run."""

    folder: Path
    state: Literal["pushed", "pushed before", "not finished", "failed"]
    reason: str | None = None  # why it failed


def offline(folder: Path) -> dict[tuple[Path, str], list[Path]]:
    """(a run's folder, its name at wandb) -> its files, oldest first: a run has one more each time it was resumed."""
    found = defaultdict(list)
    for path in sorted(folder.rglob("wandb/offline-run-*/run-*.wandb")):
        found[path.parents[2], path.stem].append(path)
    return found


def push(runs: dict[tuple[Path, str], list[Path]], options: Sequence[str] = ()) -> Iterator[Outcome]:
    """Push what was not pushed yet, with these options of `wandb sync`.

    A run without a record may still be training: wandb would take its file for the whole, and leave out the rest.
    """
    for (folder, _), files in runs.items():
        if not (folder / record.NAME).is_file():
            yield Outcome(folder, "not finished")
        elif all(_synced(file).exists() and not _begun(file).exists() for file in files):
            yield Outcome(folder, "pushed before")
        else:
            reason = _push(files, options)
            yield Outcome(folder, "failed" if reason else "pushed", reason)


def _synced(file: Path) -> Path:
    """wandb's mark of a file that was pushed."""
    return file.with_suffix(".wandb.synced")


def _begun(file: Path) -> Path:
    """Our mark of a file whose push did not end well."""
    return file.with_suffix(".wandb.begun")


def _push(files: list[Path], options: Sequence[str]) -> str | None:
    """The files of one run, each behind the one before it; why not, where one failed."""
    if any(_begun(file).exists() for file in files):
        # How much arrived is not known, and what resumed a run would be added a second time. Its first file, which
        # resumed nothing, has wandb begin the run anew.
        for file in files:
            _synced(file).unlink(missing_ok=True)
    for file in files:
        if not _synced(file).exists():
            _begun(file).touch()
            if reason := _sync(file, options):
                return reason
            _begun(file).unlink()
    return None


def _sync(file: Path, options: Sequence[str]) -> str | None:
    """Why `wandb sync` failed: its status is 0 then, too, and it marks as pushed even what the server did not take."""
    command = [sys.executable, "-m", "wandb", "sync", *options, str(file.parent.resolve())]
    environment = {**IMPATIENT, **os.environ, "WANDB_SILENT": "false"}
    result = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    errors = re.findall(r"^(?:wandb: ERROR|Error:) (.+)$", result.stderr, re.MULTILINE)
    if errors and all(CUT_OFF in error for error in errors):
        _synced(file).touch()  # the training has ended since: more will not come
        return None
    if not errors and not _synced(file).exists():
        errors = result.stderr.splitlines()[-1:] or [f"wandb sync ended with status {result.returncode}"]
    return "; ".join(errors)
