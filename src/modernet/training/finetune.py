"""The weights that a run starts from, checked against its network before anything is written."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from modernet.config.experiment import Experiment
from modernet.config.identity import to_plain
from modernet.config.schema import ModelConfig
from modernet.config.weights import RUN_OF_WEIGHTS
from modernet.data.classes import known_class_names
from modernet.errors import UserError
from modernet.models.network import build_model
from modernet.models.pretrained import HEAD, convert_pretrained, find_source
from modernet.record import Record, load_record, parse_record
from modernet.runtime.file_names import CLASSES_FILE, RECORD_FILE, WEIGHTS_FILE
from modernet.runtime.os_errors import is_out_of_memory
from modernet.runtime.text import shorten

OURS = "stem.0.weight"  # a name that every network of ours has, and no other source
ALLOWED = "allowed are weights of the same step, size and stem"
REPLACED = ("layer_scale",)  # initial values, which the weights replace; with and without it the names differ


def load_weights(experiment: Experiment) -> dict[str, Tensor] | None:
    """The weights that the experiment starts from, under our names; None for initial weights.

    Networks of one architecture fit, by the record of the run that trained the weights, where the file has one inside
    or beside it, and by names and shapes: our own names, and for both ends those of torchvision or the authors. The
    classifier is absent where it has another number of classes. Raises UserError for weights that do not fit.
    """
    if experiment.weights is None:
        return None
    path, num_classes = experiment.weights.path, experiment.data.num_classes
    assert num_classes is not None, "modernet.data.fingerprint.resolve_data reads it"
    state_dict, record = _read(path)
    if record and (differences := _compare_networks(record, experiment.model)):
        raise UserError(f"finetune: {path} has the weights of another network: {differences}; {ALLOWED}")
    with torch.device("meta"):
        model = build_model(experiment.model, num_classes)
    ours = model.state_dict()
    source = find_source(state_dict)
    if OURS in state_dict:
        if misfits := find_misfits(state_dict, ours, any_classes=True):
            raise UserError(f"finetune: {path} has the weights of another network: {misfits}; {ALLOWED}")
        weights = state_dict
    elif source:
        try:
            weights = convert_pretrained(model, state_dict, source, any_classes=True)
        except ValueError as error:
            raise UserError(f"finetune: {path} does not fit {experiment.variant}: {error}") from error
    else:
        raise UserError(f"finetune: {path} has neither our names, nor those of torchvision or the authors")
    fits = all(weights[name].shape == ours[name].shape for name in HEAD)
    return {name: value for name, value in weights.items() if fits or name not in HEAD}


def head_warnings(experiment: Experiment) -> list[str]:
    """One line where the classifier that a run starts from has other classes than the data, as far as names say."""
    if experiment.weights is None:
        return []
    path, num_classes = experiment.weights.path, experiment.data.num_classes
    theirs, ours = _class_names(path), known_class_names(experiment.data)
    if len(theirs) != num_classes:  # the head is a new one
        return []
    pairs = enumerate(zip(theirs, ours, strict=False))
    return [
        f"finetune: the classifier of {path} is kept, and its classes are others: output {number} is {before} there, "
        f"and {now} in {experiment.data.name}"
        for number, (before, now) in pairs
        if before != now
    ][:1]


def _class_names(path: Path) -> list[str]:
    """The names of the outputs, inside an exported file or beside the weights of a run; empty without names."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                names = json.loads((file.metadata() or {}).get("classes", "[]"))
        else:
            names = json.loads(path.with_name(CLASSES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return names if isinstance(names, list) else []


def _read(path: Path) -> tuple[dict[str, Tensor], Record | None]:
    """The state dict in a file, which is the entry `model` in those of runs and of the authors, and its record."""
    try:
        values = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # torch's reader of pickles raises almost any exception for another file
        if is_out_of_memory(error):
            raise
        # torch's text advises to load it unsafely.
        reason = error.strerror if isinstance(error, OSError) else "cut short, or not by torch.save of tensors alone"
        raise UserError(f"finetune: {path} is not a readable file of weights ({reason})") from error
    record = _find_record(path, values)
    if isinstance(values, dict) and isinstance(values.get("model"), dict):
        values = values["model"]
    if not is_state_dict(values):
        raise UserError(f"finetune: {path} holds no state dict, names with tensors")
    return values, record


def _find_record(path: Path, values: Any) -> Record | None:
    """The record of the run that trained the weights: inside an exported file, beside those of a run; else None."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                return parse_record((file.metadata() or {}).get("record", ""))
        record = load_record(path.with_name(RECORD_FILE))
    except (OSError, ValueError):
        return None
    run = values.get(RUN_OF_WEIGHTS) if isinstance(values, dict) else None  # absent from earlier files
    is_of_another = isinstance(run, dict) and record.hash not in run
    return record if path.name == WEIGHTS_FILE and not is_of_another else None


def _compare_networks(record: Record, model: ModelConfig) -> str:
    """The fields of the record's network that differ from `model` and change what a weight means; empty for none."""
    theirs = to_plain(asdict(ModelConfig())) | record.config["model"]  # earlier records lack later fields
    return ", ".join(
        f"model.{name}={theirs[name]} instead of {value}"
        for name, value in to_plain(asdict(model)).items()
        if name not in REPLACED and theirs[name] != value
    )


def is_state_dict(values: object) -> TypeGuard[dict[str, Tensor]]:
    """Whether these are names with tensors."""
    if not isinstance(values, dict):
        return False
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in values.items())


def find_misfits(weights: dict[str, Tensor], ours: dict[str, Tensor], any_classes: bool = False) -> str | None:
    """The first names that differ from those of `ours`, or whose tensors do by shape or kind of numbers.

    `any_classes` allows another head.
    """
    missing = [f"{name} is missing" for name in ours if name not in weights]
    unknown = [f"{name} is unknown" for name in weights if name not in ours]
    misshapen = [
        f"{name} has shape {tuple(value.shape)} instead of {tuple(ours[name].shape)}"
        for name, value in weights.items()
        if name in ours and not (any_classes and name in HEAD) and value.shape != ours[name].shape
    ]
    others = [
        f"{name} is {str(value.dtype).removeprefix('torch.')}, {str(value.layout).removeprefix('torch.')}"
        for name, value in weights.items()
        if name in ours
        and ((ours[name].is_floating_point() and not value.is_floating_point()) or value.layout != torch.strided)
    ]
    problems = missing + unknown + misshapen + others
    return shorten(problems, 3) or None
