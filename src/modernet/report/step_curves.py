"""Curves of a run by step, from steps.jsonl in its folder: a line of values every few steps."""

import json
import math
from pathlib import Path
from typing import Any

from modernet.curves import STEPS_FILE

STEP = "step"
VALUES = ("epoch", "train_loss", "train_top1", "lr", "grad_norm", "images_per_second", "data_wait")
StepCurves = dict[str, list[float | None]]  # STEP or one of VALUES -> its value at each point


def load_step_curves(record: Path, points: int) -> StepCurves:
    """At most `points` lines of the file beside the record, evenly spaced, the last one included, in order of step.

    Empty where the run has no such file. A value that a line lacks is None; values that no line has are absent. Raises
    OSError or ValueError for a file that cannot be read.
    """
    path = record.with_name(STEPS_FILE)
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    spacing = max(1, math.ceil(len(lines) / points))
    chosen = lines[::-spacing]
    rows: list[Any] = json.loads(f"[{','.join(chosen)}]")  # half the time of a call per line
    if not all(isinstance(row, dict) and isinstance(row.get(STEP), int) for row in rows):
        raise ValueError(f"{STEPS_FILE} has a line without a step")
    rows.sort(key=lambda row: row[STEP])
    names = [name for name in (STEP, *VALUES) if any(name in row for row in rows)]
    return {name: [_to_number(row.get(name)) for row in rows] for name in names}


def _to_number(value: Any) -> float | None:
    """Five significant digits, which no chart shows more of; whole numbers stay exact."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value if isinstance(value, int) else None
