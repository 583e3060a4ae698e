"""The curves of a run, in its folder: `metrics.jsonl`, a line per epoch, and `steps.jsonl`, a line every few steps."""

import json
from math import ceil, isfinite
from pathlib import Path
from typing import Any

from modernet.runtime.file_names import METRICS_FILE, STEPS_FILE


def load_epochs(path: Path) -> list[dict[str, Any]]:
    """Metrics of each epoch of the run with the record at `path`: top1 (percent), train_loss, ...

    Raises OSError or ValueError where metrics.jsonl is missing or damaged.
    """
    lines = [json.loads(line) for line in path.with_name(METRICS_FILE).read_text(encoding="utf-8").splitlines()]
    if not lines or not all(isinstance(line, dict) and _is_number(line.get("top1")) for line in lines):
        raise ValueError(f"{METRICS_FILE} has no epochs with a top1")
    return lines


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def load_steps(path: Path, points: int | None = None) -> list[dict[str, Any]]:
    """The rows of `steps.jsonl` beside `path` in order of step, by the names of `Steps`; unmeasured values are absent.

    With `points`, at most as many rows, evenly spaced, the last one included. Raises OSError or ValueError where the
    file is missing or damaged.
    """
    lines = path.with_name(STEPS_FILE).read_text(encoding="utf-8").splitlines()
    spacing = max(1, ceil(len(lines) / points)) if points else 1
    rows = json.loads(f"[{','.join(lines[::-spacing])}]")  # half the time of a call per line
    if not all(isinstance(row, dict) and isinstance(row.get("step"), int) for row in rows):
        raise ValueError(f"{STEPS_FILE} has a line without a step")
    return sorted(rows, key=lambda row: row["step"])


def read_intact_rows(path: Path, number: str) -> list[dict[str, Any]]:
    """The rows of a file up to the first damaged one, as a killed process leaves it. `number` is in every row."""
    rows = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not isinstance(row, dict) or not isinstance(row.get(number), int):
            break
        rows.append(row)
    return rows
