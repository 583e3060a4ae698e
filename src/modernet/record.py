"""One run <-> one json file: the only bridge between training and reporting."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from modernet.errors import UserError
from modernet.spec import CHECKED

NAME = "record.json"
METRICS = "metrics.jsonl"  # beside it: a line an epoch


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Record:
    """What one run came to. Accuracies are those of the last epoch, never of the best."""

    step: str
    variant: str  # the step, and what differs from it: convnext+act=relu
    protocol: str
    size: str
    seed: int
    data: str
    recipe: str
    params: int
    gmacs: float  # of one image of this data set; convolutions and linear layers
    top1: float | None  # percent, of the split that is not trained on
    top5: float | None  # percent
    val_loss: float | None  # cross-entropy without label smoothing
    epochs: int
    train_seconds: float  # without evaluation
    images_per_second: float  # trained
    device: str
    torch: str
    commit: str | None  # of the code; `-dirty` where files differed from it
    status: Literal["done", "failed"]
    config: dict[str, Any]  # every field that decides the result
    top1_ema: float | None = None  # percent, of the averaged weights, where the recipe has them
    reason: str | None = None  # why it failed
    machine: dict[str, Any] = field(default_factory=dict)  # how it was done: devices, precision, ...


READER = TypeAdapter(Record)


def write_text(path: Path, text: str) -> None:
    """All of it or nothing: a crash leaves the file as it was."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def write(folder: Path, record: Record) -> Path:
    path = folder / NAME
    write_text(path, json.dumps(asdict(record), indent=1) + "\n")
    return path


def read(path: Path) -> Record:
    """Raises ValueError, with the fields at fault in one line, for a file that holds no record of this version."""
    try:
        return READER.validate_json(path.read_bytes())
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip() for fault in error.errors()]
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(", ".join(faults[:3]) + more) from error


def found(folder: Path) -> Record | None:
    """The record of a run's folder; None where the run has not ended. Raises UserError for a file that holds none."""
    path = folder / NAME
    try:
        return read(path) if path.is_file() else None
    except ValueError as error:
        raise UserError(f"{path} is not a record ({error}); without that file the run is trained again") from error


def epochs(path: Path) -> list[dict[str, Any]]:
    """What was measured after each epoch of the run with the record at `path`: top1 (percent), train_loss, ...

    Raises OSError or ValueError where the file beside it is missing or broken.
    """
    lines = [json.loads(line) for line in path.with_name(METRICS).read_text().splitlines()]
    if not lines or not all(isinstance(line, dict) and isinstance(line.get("top1"), int | float) for line in lines):
        raise ValueError(f"{METRICS} has no epochs with a top1")
    return lines


def paths(folder: Path) -> Iterator[Path]:
    """Every record below a folder, in order of path."""
    return iter(sorted(folder.rglob(NAME)))


def commit() -> str | None:
    """The commit that the running code is at, or None where it is not in a git checkout."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        return subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
