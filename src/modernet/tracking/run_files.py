"""The files of a run's copy on wandb: `run.json` says where it is, offline files wait for their upload."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from modernet.runtime.io import write_text

RUN_FILE = "wandb/run.json"  # in the run's folder: where wandb has the run
OFFLINE_FILE = "wandb/offline-run-*/run-{id}.wandb"


def read_run_file(folder: Path) -> dict[str, Any]:
    """What the last start knows of a run at wandb; empty where the run's folder has nothing.

    `id`, `entity`, `project` and `url`, which is None offline; `arguments` of wandb.init; `is_complete`: whether wandb
    has the run's end. Of an online run that was resumed, `starting_step`, wandb's next step at that time,
    `last_step`, the optimizer's last one at wandb, and `step_offset`, wandb's step minus the optimizer's from then on.
    """
    try:
        values = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def update_run_file(folder: Path, **values: Any) -> None:
    """Change some of these values."""
    path = folder / RUN_FILE
    path.parent.mkdir(exist_ok=True)
    write_text(path, json.dumps(read_run_file(folder) | values) + "\n")


def offline_files(folder: Path) -> list[Path]:
    """What wandb logged offline of the run in this folder, oldest first: each start adds a file.

    Files of this run in WANDB_DIR are included.
    """
    files = list(folder.glob(OFFLINE_FILE.format(id="*")))
    elsewhere = os.environ.get("WANDB_DIR")
    if elsewhere and Path(elsewhere).resolve() != folder.resolve():
        files += Path(elsewhere).glob(OFFLINE_FILE.format(id=read_run_file(folder).get("id")))
    return sorted(files, key=lambda file: file.parent.name)


def synced_mark(file: Path) -> Path:
    """wandb's mark of a file that was pushed."""
    return file.with_suffix(".wandb.synced")


def started_mark(file: Path) -> Path:
    """modernet's mark of a file whose push started and did not succeed."""
    return file.with_suffix(".wandb.started")


def mark_pushed(files: Iterable[Path]) -> None:
    """Keep these files from being pushed, as if they were."""
    for file in files:
        synced_mark(file).touch()
        started_mark(file).unlink(missing_ok=True)
