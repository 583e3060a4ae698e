"""The way to wandb's server: the login, and pushing runs that were logged offline, each of them once and completely."""

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wandb.apis.public import Api
from wandb.errors import Error, UsageError

from modernet.errors import UserError
from modernet.record import Record, load_record
from modernet.runtime.file_names import RECORD_FILE
from modernet.runtime.io import find_files
from modernet.runtime.lock import is_locked
from modernet.runtime.text import squeeze
from modernet.tracking.replay import rebuild
from modernet.tracking.run_files import (
    OFFLINE_FILE,
    RUN_FILE,
    offline_files,
    read_run_file,
    started_mark,
    synced_mark,
)

# wandb retries for minutes or days where the server does not answer; the commands here are safe to repeat instead.
FEW_RETRIES = {
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_X_GRAPHQL_RETRY_MAX": "2",
    "WANDB_X_GRAPHQL_RETRY_WAIT_MAX_SECONDS": "5",
    "WANDB_X_FILE_STREAM_RETRY_MAX": "2",
    "WANDB_X_FILE_STREAM_RETRY_WAIT_MAX_SECONDS": "5",
    "WANDB_X_FILE_TRANSFER_RETRY_MAX": "2",
    "WANDB_X_FILE_TRANSFER_RETRY_WAIT_MAX_SECONDS": "5",
}
# wandb's words for a damaged file, as where the training was killed while it wrote.
DAMAGED = re.compile("the file ends with an incomplete record|Failed to read")

OfflineRuns = dict[tuple[Path, str], list[Path]]


def log_in() -> Api:
    """wandb's client. Raises UserError where there is no login, or where the server refuses it or does not answer."""
    logs = tempfile.mkdtemp(prefix="wandb-")  # by default wandb writes its logs into the current folder
    atexit.register(shutil.rmtree, logs, ignore_errors=True)
    for name, value in {**FEW_RETRIES, "WANDB_DIR": logs, "WANDB_SILENT": "true"}.items():  # silent: no prompt
        os.environ.setdefault(name, value)
    try:
        return Api()
    except UsageError:
        raise UserError("there is no login at wandb; run `wandb login` or set WANDB_API_KEY") from None
    except Error as error:
        raise UserError(squeeze(error)) from None


@dataclass(frozen=True)
class Outcome:
    """The result of pushing one run."""

    folder: Path
    state: Literal["pushed", "pushed before", "not finished", "failed"]
    reason: str | None = None  # why it failed


def find_offline_runs(folder: Path) -> OfflineRuns:
    """(a run's folder, its name at wandb) -> its files, oldest first: each start adds a file.

    Files of these runs in WANDB_DIR are included.
    """
    logged = {path.parents[2] for path in folder.rglob(OFFLINE_FILE.format(id="*"))}
    if elsewhere := os.environ.get("WANDB_DIR"):  # the files of many runs, whose run.json are in their folders
        logged = {run for run in logged if run.resolve() != Path(elsewhere).resolve()}
    logged |= {path.parents[1] for path in find_files(folder, Path(RUN_FILE).name) if path.match(RUN_FILE)}
    runs = defaultdict(list)
    for run in sorted(logged):
        for file in offline_files(run):
            runs[run, file.stem].append(file)
    return dict(runs)


def push(runs: OfflineRuns, options: Sequence[str] = ()) -> Iterator[Outcome]:
    """Push the runs that were not pushed yet, with these options of `wandb sync`.

    A run without a record, or that a process trains, as a failed one again, is skipped: wandb would ignore what it logs
    later. A run whose files are damaged, or lack its end, is logged again from its own files.
    """
    for (folder, name), files in runs.items():
        if not (folder / RECORD_FILE).is_file() or is_locked(folder):
            yield Outcome(folder, "not finished")
        elif all(synced_mark(file).exists() and not started_mark(file).exists() for file in files):
            yield Outcome(folder, "pushed before")
        else:
            reason = _push_run(folder, name, files, options)
            yield Outcome(folder, "failed" if reason else "pushed", reason)


def _push_run(folder: Path, name: str, files: list[Path], options: Sequence[str]) -> str | None:
    """Push the files of one run, or what replaces them; returns why it failed, or None."""
    try:
        record = load_record(folder / RECORD_FILE)
    except ValueError as error:
        return f"{folder / RECORD_FILE} is not a record ({error})"
    last = read_run_file(folder)
    if f"run-{last.get('id')}" == name and not last.get("is_complete", True):
        return _rebuild_and_push(folder, record, options, "wandb's file lacks the end of the run")
    reason = _push_files(files, options)
    return _rebuild_and_push(folder, record, options, reason) if reason and DAMAGED.search(reason) else reason


def _rebuild_and_push(folder: Path, record: Record, options: Sequence[str], damage: str) -> str | None:
    files = rebuild(folder, record)
    return _push_files(files, options) if files else f"{damage}, and it cannot be written again"


def _push_files(files: list[Path], options: Sequence[str]) -> str | None:
    """Push the files of one run in order; returns why it failed, or None."""
    if any(started_mark(file).exists() for file in files):
        # An unknown part arrived. Files of earlier versions resume each other: pushing a resumed part again would
        # repeat its epochs, and pushing the first file again makes wandb start the run from scratch.
        for file in files:
            synced_mark(file).unlink(missing_ok=True)
    for file in files:
        if not synced_mark(file).exists():
            started_mark(file).touch()
            if reason := _sync_file(file, options):
                return reason
            started_mark(file).unlink()
    return None


def _sync_file(file: Path, options: Sequence[str]) -> str | None:
    """Why `wandb sync` failed, from its messages: it exits with 0 and marks the file even where the server refuses."""
    command = [sys.executable, "-m", "wandb", "sync", *options, str(file.parent.resolve())]
    environment = {**FEW_RETRIES, **os.environ, "WANDB_SILENT": "false"}
    result = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    errors = re.findall(r"^(?:wandb: ERROR|Error:) (.+)$", result.stderr, re.MULTILINE)
    if not errors and not synced_mark(file).exists():
        errors = result.stderr.splitlines()[-1:] or [f"wandb sync ended with status {result.returncode}"]
    return "; ".join(errors)
