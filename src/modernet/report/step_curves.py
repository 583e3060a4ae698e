"""Curves of a run by step, from steps.jsonl in its folder: a line of values every few steps."""

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

from modernet.curves import load_steps
from modernet.record import Steps
from modernet.runtime.file_names import STEPS_FILE

STEP = "step"
VALUES = [field.name for field in fields(Steps) if field.name not in (STEP, "peak_memory")]
StepCurves = dict[str, list[float | None]]  # STEP or one of VALUES -> its value at each point


def load_step_curves(record: Path, points: int) -> StepCurves:
    """At most `points` lines of the file beside the record, evenly spaced, the last one included, in order of step.

    Empty where the run has no such file. A value that a line lacks is None; values that no line has are absent. Raises
    OSError or ValueError for a file that cannot be read.
    """
    if not record.with_name(STEPS_FILE).is_file():
        return {}
    rows = load_steps(record, points)
    names = [name for name in (STEP, *VALUES) if any(name in row for row in rows)]
    return {name: [_to_number(row.get(name)) for row in rows] for name in names}


def _to_number(value: Any) -> float | None:
    """Five significant digits, which no chart shows more of; whole numbers stay exact."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value if isinstance(value, int) else None
