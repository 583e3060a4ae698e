"""The columns of the report's tables. Declared metrics add columns by themselves."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from modernet.analysis.formatting import (
    format_accuracy,
    format_interval,
    format_p_value,
    format_seeds_needed,
)
from modernet.analysis.stats import Difference
from modernet.analysis.table import Row
from modernet.metrics import Metric, declared_metrics
from modernet.record import Record
from modernet.report.origins import to_minute
from modernet.report.summary import classify

# classify(row) -> the column `verdict`, where that has another word.
VERDICT_WORDS = {"not significant": "undecided", "not compared": ""}


class Cell(NamedTuple):
    """One cell of a table."""

    text: str
    note: str = ""  # in small print below the text
    value: float | str | None = None  # sort key of the column; None sorts last


class Column(NamedTuple):
    """One column of a table; `cell` makes a cell of the object that a line of the table shows, a Row or a Record.

    A column that is not `shown` appears once the reader chooses it, and without scripts.
    """

    name: str
    description: str
    cell: Callable[[Any], Cell]
    shown: bool = True


def row_columns(rows: Iterable[Row]) -> list[Column]:
    """Columns of the results table of these rows, behind the variant's name."""
    return [*ROW_COLUMNS, *map(_metric_column, declared_metrics(rows))]


def run_columns(runs: Iterable[Record]) -> list[Column]:
    """Columns of the list of these runs, behind the variant's name."""
    return [*RUN_COLUMNS, *map(_metric_column, declared_metrics(runs))]


def verdict(row: Row) -> str:
    """One word: whether the row raised or lowered top-1 after Holm's correction; empty where nothing is compared."""
    return VERDICT_WORDS.get(classify(row), classify(row)) if row.n else "not run"


def accuracy_cell(row: Row) -> Cell:
    """Mean ± std, with its confidence interval below."""
    return Cell(format_accuracy(row), format_interval(row.top1_low, row.top1_high), row.top1)


def _difference_cell(gap: Difference) -> Cell:
    mean = "" if gap.mean is None else f"{gap.mean:+.2f}"
    return Cell(mean, format_interval(gap.low, gap.high, "+"), gap.mean)


def _p_value_cell(p: float | None) -> Cell:
    return Cell(format_p_value(p), value=p)


def _number_cell(value: float | None, style: str) -> Cell:
    if value is None:
        return Cell("")
    return Cell(format(value, style), value=value if math.isfinite(value) else None)


def _text_cell(value: str | None) -> Cell:
    return Cell(value or "", value=value)


def _metric_column(metric: Metric) -> Column:
    def cell(measured: Row | Record) -> Cell:
        return _number_cell(measured.metrics.get(metric.name), metric.format)

    return Column(metric.heading, metric.description, cell, shown=False)


ROW_COLUMNS = [
    Column("n", "number of seeds", lambda row: _number_cell(row.n, "d")),
    Column("top-1 (%)", "mean ± std over seeds, with the 95 % confidence interval of the mean", accuracy_cell),
    Column(
        "vs previous step",
        "difference in points, with its 95 % confidence interval; the line below the table names the test",
        lambda row: _difference_cell(row.gap),
    ),
    Column(
        "p (Holm)",
        "corrected p-value of the difference to the previous step",
        lambda row: _p_value_cell(row.difference_holm),
    ),
    Column(
        "verdict",
        "raised or lowered: the corrected p-value is below 0.05",
        lambda row: _text_cell(verdict(row)),
    ),
    Column(
        "seeds needed",
        "per network, to detect the difference to the previous step with power 0.8, if it and the std are as observed",
        lambda row: Cell(format_seeds_needed(row), value=row.seeds_needed),
    ),
    Column(
        "vs start",
        "difference to the first step in points, with its 95 % confidence interval",
        lambda row: _difference_cell(row.start_gap),
        shown=False,
    ),
    Column(
        "p to start (Holm)",
        "corrected p-value of the difference to the start",
        lambda row: _p_value_cell(row.start_difference_holm),
        shown=False,
    ),
    Column(
        "paper (%)", "the paper's top-1 on ImageNet-1K", lambda row: _number_cell(row.paper_top1, ".2f"), shown=False
    ),
    Column(
        "paper vs previous step",
        "the paper's difference in points, with its 95 % confidence interval",
        lambda row: _difference_cell(row.paper_gap),
    ),
    Column("sign", "whether our difference has the sign of the paper's", lambda row: _text_cell(row.sign), shown=False),
    Column("GMACs", "convolutions and linear layers, one image", lambda row: _number_cell(row.gmacs, ".4f")),
    Column("parameters", "of the network", lambda row: _number_cell(row.params, ","), shown=False),
    Column(
        "images/s",
        "in training, median over runs",
        lambda row: _number_cell(row.images_per_second, ",.0f"),
        shown=False,
    ),
]
RUN_COLUMNS = [
    Column("seed", "of all random numbers", lambda run: _number_cell(run.seed, "d")),
    Column("top-1 (%)", "after the last epoch", lambda run: _number_cell(run.top1, ".2f")),
    Column("top-5 (%)", "after the last epoch", lambda run: _number_cell(run.top5, ".2f")),
    Column("loss", "cross-entropy on the evaluation split", lambda run: _number_cell(run.val_loss, ".3f")),
    Column("epochs", "of training", lambda run: _number_cell(run.epochs, "d")),
    Column("seconds", "of training", lambda run: _number_cell(run.train_seconds, ",.0f")),
    Column("images/s", "in training", lambda run: _number_cell(run.images_per_second, ",.0f")),
    Column("ended", "the end of training, UTC", lambda run: _text_cell(to_minute(run.ended) if run.ended else None)),
    Column("host", "name of the machine", lambda run: _text_cell(run.host), shown=False),
    Column("device", "that trained the run", lambda run: _text_cell(run.device), shown=False),
    Column("commit", "of the code", lambda run: _text_cell(run.commit), shown=False),
]
