"""The files of checkpoints: written whole or not at all, bound to their run, verified when read, the last two kept."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from os.path import lexists
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, ValidationError
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from modernet.record import Epoch
from modernet.runtime.collectives import all_gather
from modernet.runtime.io import write_bytes
from modernet.runtime.logging import logger
from modernet.runtime.os_errors import is_out_of_memory
from modernet.training.leftovers import PATTERN, list_checkpoints
from modernet.training.state import StepMark, TrainState

KEEP = 2
SCHEMA_VERSION = 2  # 1: modernet before 0.2, without the run's identity inside
BAD = ".bad"  # ending of a checkpoint that was set aside


@dataclass(frozen=True)
class RunIdentity:
    """The run that a checkpoint belongs to."""

    hash: str
    seed: int


class Unusable(Exception):
    """Why a file is no checkpoint of this run."""


@validated(frozen=True, kw_only=True)
class PlainValues:
    """The values of `TrainState.state_dict` that are no state dicts of torch."""

    step: NonNegativeInt
    train_seconds: NonNegativeFloat
    data_seconds: NonNegativeFloat
    train_metrics: list[float]
    mark: StepMark
    epochs: list[Epoch]
    started: str


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def serialize(state: Any) -> bytes:
    """What torch.save writes, in memory."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def save_checkpoint(folder: Path, step: int, state: Mapping[str, Any], run: RunIdentity) -> Path:
    """Write the state after `step` optimizer steps, then delete all but the last two checkpoints."""
    content = serialize({"schema_version": SCHEMA_VERSION, "run": asdict(run), **state})
    path = folder / f"checkpoint-{step:09}-{_checksum(content)}.pt"
    write_bytes(path, content)
    for older in list_checkpoints(folder)[:-KEEP]:
        older.unlink()
    return path


def load_checkpoint(folder: Path, run: RunIdentity, fresh: TrainState) -> dict[str, Any] | None:
    """The newest state of this run that `fresh` can continue from; None where there is none. Every rank must call it.

    The main process sets other files with the name of a checkpoint aside, with a warning each. Raises OSError for a
    file that it may not read.
    """
    path, state = None, None
    if fresh.train_metrics.env.is_main_process:
        path, state = _newest_usable(folder, run, fresh)
    chosen = all_gather(str(path) if path else None)[0]
    if chosen and state is None:  # another rank than the main process
        state = torch.load(chosen, map_location="cpu", weights_only=True)
    return state


def _newest_usable(folder: Path, run: RunIdentity, fresh: TrainState) -> tuple[Path | None, dict[str, Any] | None]:
    paths = list_checkpoints(folder)
    while paths:
        path = paths.pop()
        try:
            state = _read(path, run, fresh)
        except Unusable as reason:
            remedy = "the checkpoint before it is used" if paths else "the run begins again"
            logger.warning(f"{path} {reason}; it is now {_set_aside(path).name}, and {remedy}")
        else:
            for other in paths:
                if not other.is_file():  # it could not be deleted later
                    logger.warning(f"{other} is not a file; it is now {_set_aside(other).name}")
            return path, state
    return None, None


def _set_aside(path: Path) -> Path:
    """Rename a file, link or folder to a free name with the ending `.bad`."""
    names = (path.with_name(f"{path.name}{BAD}{number or ''}") for number in range(1000))
    return path.rename(next(name for name in names if not lexists(name)))


def _read(path: Path, run: RunIdentity, fresh: TrainState) -> dict[str, Any]:
    """The state in a file. Raises Unusable with a reason that follows the file's name."""
    match = PATTERN.fullmatch(path.name)
    assert match is not None
    if not path.is_file():
        raise Unusable("is not a file")
    content = path.read_bytes()
    if _checksum(content) != match[2]:
        raise Unusable("is damaged (its checksum differs)")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds
        if is_out_of_memory(error):
            raise
        raise Unusable(f"holds no tensors and plain values ({type(error).__name__})") from error
    if not isinstance(state, dict) or "model" not in state:
        raise Unusable("holds something else than a checkpoint")
    if (version := state.get("schema_version", 1)) != SCHEMA_VERSION:
        raise Unusable(f"has schema version {version}, this modernet reads {SCHEMA_VERSION}")
    if state.get("run") != asdict(run):
        raise Unusable(f"is of another run ({_describe(state.get('run'))} instead of {_describe(asdict(run))})")
    if fault := _find_fault(state, fresh):
        raise Unusable(fault)
    if state["step"] != int(match[1]):
        raise Unusable(f"has another step than its name ({state['step']})")
    return state


def _describe(run: Any) -> str:
    return f"{run.get('hash')}, seed {run.get('seed')}" if isinstance(run, dict) else "none"


def _find_fault(state: dict[str, Any], fresh: TrainState) -> str | None:
    """Why `fresh` cannot continue from a state; it would be changed in part before torch raises an error."""
    expected = fresh.state_dict()
    if missing := sorted(expected.keys() - state.keys()):
        return f"lacks {', '.join(missing)}"
    if any(_shapes(state[name]) != _shapes(expected[name]) for name in ("model", "ema_model")):
        return "is of another network"
    if not _fits_optimizer(state["optimizer"], fresh):
        return "is of another optimizer"
    try:
        PlainValues(**{field.name: state[field.name] for field in fields(PlainValues)})
    except ValidationError as error:
        return f"has an invalid value of {error.errors()[0]['loc'][0]}"
    return None


def _shapes(values: Any) -> Any:
    """Name -> shape and dtype of the tensors of a state dict."""
    if not isinstance(values, Mapping):
        return values
    return {name: (value.shape, value.dtype) for name, value in values.items() if isinstance(value, Tensor)}


def _fits_optimizer(saved: Any, fresh: TrainState) -> bool:
    """Whether a state dict has the groups of the optimizer, and for each parameter tensors of its shape or scalars."""
    expected = [group["params"] for group in fresh.optimizer.state_dict()["param_groups"]]
    parameters = [parameter for group in fresh.optimizer.param_groups for parameter in group["params"]]
    try:
        groups = [group["params"] for group in saved["param_groups"]]
        tensors = [
            (value, parameters[number].shape)
            for number, values in saved["state"].items()
            for value in values.values()
            if isinstance(value, Tensor)
        ]
    except (TypeError, KeyError, AttributeError, IndexError):
        return False
    return groups == expected and all(value.ndim == 0 or value.shape == shape for value, shape in tensors)
