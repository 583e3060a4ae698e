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

from modernet.errors import UserError, squeeze
from modernet.record import RECORD_FILE
from modernet.tracking.logger import RUN_FILE, read_run_file

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
INCOMPLETE = "the file ends with an incomplete record"  # wandb's words for a training that was killed while it wrote

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
    """(a run's folder, its name at wandb) -> its files, oldest first: each resume adds a file.

    Files of these runs in WANDB_DIR are included.
    """
    runs = defaultdict(list)
    for path in folder.rglob("wandb/offline-run-*/run-*.wandb"):
        runs[path.parents[2], path.stem].append(path)
    if elsewhere := os.environ.get("WANDB_DIR"):
        for run_file in folder.rglob(RUN_FILE):
            run, name = run_file.parents[1], f"run-{read_run_file(run_file.parents[1]).get('id')}"
            if run.resolve() != Path(elsewhere).resolve():
                runs[run, name] += Path(elsewhere).glob(f"wandb/offline-run-*/{name}.wandb")
    return {run: sorted(files, key=lambda file: file.parent.name) for run, files in sorted(runs.items()) if files}


def push(runs: OfflineRuns, options: Sequence[str] = ()) -> Iterator[Outcome]:
    """Push the runs that were not pushed yet, with these options of `wandb sync`.

    A run without a record may still be training; it is skipped, as wandb would ignore what it logs later.
    """
    for (folder, _), files in runs.items():
        if not (folder / RECORD_FILE).is_file():
            yield Outcome(folder, "not finished")
        elif all(_synced_mark(file).exists() and not _started_mark(file).exists() for file in files):
            yield Outcome(folder, "pushed before")
        else:
            reason = _push_files(files, options)
            yield Outcome(folder, "failed" if reason else "pushed", reason)


def _synced_mark(file: Path) -> Path:
    """wandb's mark of a file that was pushed."""
    return file.with_suffix(".wandb.synced")


def _started_mark(file: Path) -> Path:
    """modernet's mark of a file whose push started and did not succeed."""
    return file.with_suffix(".wandb.started")


def _push_files(files: list[Path], options: Sequence[str]) -> str | None:
    """Push the files of one run in order; returns why it failed, or None."""
    if any(_started_mark(file).exists() for file in files):
        # An unknown part arrived, and pushing a resumed part again would repeat its epochs. The first file resumes
        # nothing: pushing it again makes wandb start the run from scratch.
        for file in files:
            _synced_mark(file).unlink(missing_ok=True)
    for file in files:
        if not _synced_mark(file).exists():
            _started_mark(file).touch()
            if reason := _sync_file(file, options):
                return reason
            _started_mark(file).unlink()
    return None


def _sync_file(file: Path, options: Sequence[str]) -> str | None:
    """Why `wandb sync` failed, from its messages: it exits with 0 and marks the file even where the server refuses."""
    command = [sys.executable, "-m", "wandb", "sync", *options, str(file.parent.resolve())]
    environment = {**FEW_RETRIES, **os.environ, "WANDB_SILENT": "false"}
    result = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    errors = re.findall(r"^(?:wandb: ERROR|Error:) (.+)$", result.stderr, re.MULTILINE)
    if errors and all(INCOMPLETE in error for error in errors):
        _synced_mark(file).touch()  # the training has ended: nothing will be added
        return None
    if not errors and not _synced_mark(file).exists():
        errors = result.stderr.splitlines()[-1:] or [f"wandb sync ended with status {result.returncode}"]
    return "; ".join(errors)
