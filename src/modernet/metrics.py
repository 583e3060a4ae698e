"""The metrics that a run declares: numbers besides losses, accuracies and speed."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from pydantic.dataclasses import dataclass

from modernet.config.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Metric:
    """A number that a run measures in each epoch, besides losses, accuracies and speed."""

    name: str  # its key in `Epoch.metrics` and `Record.metrics`, and its column in CSV and JSON
    title: str  # of columns and axes
    unit: str  # as printed; empty for a number without one
    format: str  # of Python's `format`
    description: str  # for notes, after the title and a colon; no full stop
    in_rows: bool = True  # whether rows of results have its mean over runs; lists of runs always have it

    @property
    def heading(self) -> str:
        """`title (unit)`."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def format_value(self, value: float | None) -> str:
        """The number without its unit; empty where nothing was measured."""
        return "" if value is None else format(value, self.format)


METRICS = (
    Metric("peak_memory", "peak memory", "MiB", ",.0f", "largest memory allocated on the GPU, the mean over runs"),
    Metric("data_wait", "waiting for data", "%", ".1f", "part of the last epoch's training time", in_rows=False),
    Metric("skipped_train", "damaged training images", "", ",.1f", "replaced by others in the last epoch"),
    Metric("skipped_eval", "damaged evaluated images", "", ",.1f", "without a prediction, counted as wrong"),
)
"""The declared metrics. A new one takes two edits: a line here, and its value where the training loop measures it.

Who measures puts the value into `Epoch.metrics[name]`; the record keeps the last epoch's. A metric that a run cannot
measure is absent from the dictionary. Names must differ from the fields of Epoch, Record and the table's Row.

Who shows metrics iterates over METRICS, never over a name: `metric.heading` titles a column, `metric.format_value(
record.metrics.get(metric.name))` fills it, and `declared_metrics(records or rows)` lists those that anything has.
`flatten(epoch)` has them beside the other values, for lines of metrics.jsonl (and so for curves) and for wandb.
"""


class HasMetrics(Protocol):
    """An epoch, a record or a row of a table."""

    @property
    def metrics(self) -> Mapping[str, float]: ...


def declared_metrics(measured: Iterable[HasMetrics]) -> list[Metric]:
    """Those of METRICS of which any of these has a value, in the order of METRICS."""
    names = {name for one in measured for name in one.metrics}
    return [metric for metric in METRICS if metric.name in names]
