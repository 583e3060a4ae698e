"""The runs of a report as plain values, from which its script draws the panel of a run."""

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from modernet.curves import load_epochs
from modernet.metrics import declared_metrics
from modernet.record import Record
from modernet.report.origins import to_publishable
from modernet.report.step_curves import StepCurves, load_step_curves
from modernet.report.studies import Study, decode_path

CURVES = ("epoch", "top1", "train_loss", "val_loss")
Curves = dict[str, list[float | None]]  # one of CURVES -> its value after each epoch
STEP_POINTS, MOST_POINTS, FEWEST_POINTS = 60_000, 240, 24  # in the page; in a curve of a run by step


class RunData:
    """Collects runs. Identical config sections of several runs (network, recipe, data) are stored once."""

    def __init__(self, expected_runs: int) -> None:
        """With more runs, each has fewer points in its curves by step, so that the page stays small."""
        self._points = min(MOST_POINTS, max(FEWEST_POINTS, STEP_POINTS // max(1, expected_runs)))
        self._sections: dict[str, int] = {}  # JSON of a section -> its index
        self._records: list[Record] = []
        self._runs: list[dict[str, Any]] = []

    def add(self, study: Study, path: Path, record: Record) -> int:
        """Add the run with the record at `path`; returns its index."""
        try:
            curves: Curves | str = _load_curves(path)
        except (OSError, ValueError) as error:
            curves = study.make_relative(str(error))
        try:
            steps: StepCurves | str = load_step_curves(path, self._points)
        except (OSError, ValueError) as error:
            steps = study.make_relative(str(error))
        facts = {field.name: getattr(record, field.name) for field in fields(Record) if field.name != "config"}
        facts["overrides"] = [to_publishable(word) for word in record.overrides]
        config = {name: self._section_index(section) for name, section in record.config.items()}
        folder = decode_path(path.parent.relative_to(study.folder))
        self._records.append(record)
        self._runs.append(
            {"path": folder, "facts": _without_nan(facts), "config": config, "curves": curves, "steps": steps}
        )
        return len(self._runs) - 1

    def _section_index(self, section: Any) -> int:
        return self._sections.setdefault(json.dumps(section), len(self._sections))

    def to_plain(self) -> dict[str, Any]:
        """`runs`, whose `config` holds indices into `sections`, and the `headings` of metrics. Valid JSON."""
        headings = {metric.name: metric.heading for metric in declared_metrics(self._records)}
        sections = [json.loads(section) for section in self._sections]
        return {"headings": headings, "sections": _without_nan(sections), "runs": self._runs}


def _load_curves(path: Path) -> Curves:
    """Raises OSError or ValueError where the metrics beside the record cannot be read."""
    epochs = load_epochs(path)
    return {name: [_to_number(epoch.get(name)) for epoch in epochs] for name in CURVES}


def _to_number(value: Any) -> float | None:
    return round(value, 4) if isinstance(value, int | float) and math.isfinite(value) else None


def _without_nan(value: Any) -> Any:
    """The same values with NaN and infinity as strings: browsers reject them in JSON."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
