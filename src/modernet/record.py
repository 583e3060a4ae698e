"""What one run measures, and `record.json`, the result that it leaves in its folder."""

import json
import os
from dataclasses import asdict, field
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from modernet.config.identity import check_sections, run_hash
from modernet.config.schema import FINITE, STRICT
from modernet.errors import UserError
from modernet.runtime.file_names import RECORD_FILE
from modernet.runtime.io import find_files, write_text
from modernet.runtime.text import shorten

SCHEMA_VERSION = 2  # 1: modernet 0.1, with other names for the fields of config

Percent = Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Epoch:
    """Metrics of one epoch. train_* are of the augmented training images, the others of the evaluated split."""

    epoch: int  # from 1
    lr: float  # of the last step
    train_loss: float
    train_top1: float  # percent
    val_loss: float  # cross-entropy without label smoothing
    top1: float  # percent
    top5: float  # percent
    top1_ema: float | None  # percent, of the averaged weights, where the recipe has them
    train_seconds: float  # without evaluation
    images_per_second: float  # trained
    metrics: dict[str, float] = field(default_factory=dict)  # of METRICS, those that were measured

    def __str__(self) -> str:
        wait = f", {self.metrics['data_wait']:.0f} % waiting for data" if "data_wait" in self.metrics else ""
        ema = "" if self.top1_ema is None else f", EMA top-1 {self.top1_ema:.2f} %"
        return (
            f"epoch {self.epoch}: train loss {self.train_loss:.4f}, train top-1 {self.train_top1:.2f} %, "
            f"top-1 {self.top1:.2f} %, top-5 {self.top5:.2f} %{ema}, {self.images_per_second:.0f} images/s{wait}"
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Steps:
    """Training over the optimizer steps since the row before, or since the epoch began; a row of `steps.jsonl`.

    Losses and accuracies are those of the main process, whose images are a part of each batch.
    """

    step: int  # optimizer steps done
    epoch: float  # epochs done
    lr: float  # of the last step
    train_loss: float  # mean over the images
    train_top1: float  # percent
    images_per_second: float  # trained, by all processes
    data_wait: float  # percent of the time, waiting for data
    grad_norm: float | None = None  # of the last step's gradient, averaged over the processes
    peak_memory: float | None = None  # MiB allocated on the GPU, of the run so far

    def values(self) -> dict[str, float]:
        """Those that were measured and are finite; `step` is an integer."""
        return {name: value for name, value in asdict(self).items() if value is not None and isfinite(value)}


@dataclass(frozen=True, kw_only=True, config=FINITE)
class Record:
    """The result of one run. Accuracies are those of the last epoch, never of the best."""

    schema_version: int = SCHEMA_VERSION
    step: str
    variant: str  # the step and what differs from it: convnext+act=relu
    protocol: str
    size: str
    seed: int
    data: str
    recipe: str
    params: PositiveInt
    gmacs: PositiveFloat  # of one image of this data set; convolutions and linear layers
    top1: Percent | None  # of the evaluated split
    top5: Percent | None
    val_loss: float | None  # cross-entropy without label smoothing
    epochs: int
    train_seconds: NonNegativeFloat  # without evaluation
    images_per_second: NonNegativeFloat  # trained
    device: str
    torch: str
    commit: str | None  # of the code; ends in `-dirty` where files differed from it
    status: Literal["done", "failed"]
    config: dict[str, Any]  # every value that decides the result, as Experiment.config
    top1_ema: Percent | None = None  # of the averaged weights, where the recipe has them
    reason: str | None = None  # why it failed
    machine: dict[str, Any] = field(default_factory=dict)  # how the work was done: devices, precision, ...
    metrics: dict[str, float] = field(default_factory=dict)  # of METRICS, those of the last epoch
    best_top1: Percent | None = None  # of the best epoch; to compare with papers that report it, never analysed
    best_epoch: int | None = None  # its number, from 1
    started: str | None = None  # ISO 8601, UTC; a resumed run keeps its first start
    ended: str | None = None  # ISO 8601, UTC
    host: str | None = None  # name of the machine of the main process
    cpu: str | None = None  # model
    gpus: tuple[str, ...] = ()  # model of the GPU of each process
    versions: dict[str, str] = field(default_factory=dict)  # of Python, packages and CUDA
    overrides: tuple[str, ...] = ()  # of the command line that finished the run
    peak_host_memory: float | None = None  # MiB resident in the main process that finished the run, libraries included

    @property
    def hash(self) -> str:
        """The run's identity."""
        return run_hash(self.config)


def flatten(measured: Epoch | Record) -> dict[str, Any]:
    """Plain values, with the metrics under their names beside the other values."""
    values = asdict(measured)
    return values | values.pop("metrics")


class LoadedRecords(NamedTuple):
    """The records below a folder, and one line for each file that holds none."""

    records: dict[Path, Record]
    rejected: list[str]


_ADAPTER = TypeAdapter(Record)


def write_record(folder: Path, record: Record) -> Path:
    """Write `record.json` atomically."""
    path = folder / RECORD_FILE
    write_text(path, json.dumps(asdict(record), indent=1) + "\n")
    return path


def load_record(path: Path) -> Record:
    """Raises ValueError, with the faulty fields on one line, for a file that holds no record of this version."""
    if not path.is_file():  # reading a named pipe would wait forever
        raise ValueError("not a regular file")
    return parse_record(path.read_bytes())


def parse_record(text: str | bytes) -> Record:
    """Raises ValueError, with the faulty fields on one line, for a text that is no record of this version."""
    try:
        values = json.loads(text)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not a JSON object: {error}") from error
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    version = values.get("schema_version", 1)
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {version}, this modernet reads {SCHEMA_VERSION}")
    try:
        record = _ADAPTER.validate_python(values)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip() for fault in error.errors()]
        raise ValueError(shorten(faults, 3)) from error
    check_sections(record.config)
    if record.config.get("seed") != record.seed:
        raise ValueError(f"seed is {record.seed}, and {record.config.get('seed')} in config")
    return record


def load_records(folder: Path) -> LoadedRecords:
    """Every record below a folder, by path; files that hold none are rejected with a reason, one line each."""
    records, rejected = dict[Path, Record](), list[str]()
    for path in find_files(folder, RECORD_FILE, lambda error: rejected.append(f"{error.filename}: {error.strerror}")):
        try:
            records[path] = load_record(path)
        except (OSError, ValueError) as error:
            rejected.append(f"{path}: not a record ({error})")
    return LoadedRecords(records, rejected)


def find_record(folder: Path) -> Record | None:
    """The record in a run's folder; None where the run has not ended. Raises UserError for a damaged file."""
    path = folder / RECORD_FILE
    try:
        return load_record(path) if os.path.lexists(path) else None
    except ValueError as error:
        raise UserError(f"{path} is not a record ({error}); delete the file to train the run again") from error


def find_result(folder: Path, retry_failed: bool, run: str | None = None) -> Record | None:
    """The record that ends the run in `folder`; None where there is something to train.

    A finished run is never trained again, a failed one only with `retry_failed`. Raises UserError for a damaged file,
    and for the record of another run than the one with the hash `run`, as in a folder that was copied and renamed.
    """
    record = find_record(folder)
    if record is not None and run not in (None, record.hash):
        raise UserError(
            f"{folder / RECORD_FILE} is the record of another run ({record.hash} instead of {run}); move the folder "
            "away to train this one"
        )
    if record is not None and record.status == "failed" and retry_failed:
        return None
    return record
