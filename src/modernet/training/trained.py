"""Trained networks: from the folders of their runs, and as safetensors files with the record as metadata."""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from modernet.config.schema import DataConfig, ModelConfig, RecipeConfig
from modernet.config.weights import RUN_OF_WEIGHTS
from modernet.data.augment import normalize
from modernet.data.classes import load_class_names
from modernet.data.decoding import decode_image
from modernet.data.transforms import ImageTransform
from modernet.errors import UserError
from modernet.models.network import Network, build_model
from modernet.models.pretrained import export_pretrained
from modernet.record import Record, find_record
from modernet.runtime.file_names import RECORD_FILE, WEIGHTS_FILE
from modernet.runtime.io import write_bytes
from modernet.runtime.os_errors import is_out_of_memory
from modernet.training.finetune import find_misfits, is_state_dict

OUR_NAMES = "modernet"


def run_folder(path: str | Path) -> Path:
    """The folder of a run, named by itself or by its record."""
    path = Path(path)
    return path.parent if path.name == RECORD_FILE else path


def finished_record(folder: Path) -> Record:
    """Raises UserError where the folder holds no finished run."""
    record = find_record(folder)
    if record is None or record.status != "done":
        raise UserError(f"{folder} holds no finished run; its record.json must have the status done")
    return record


def load_run(folder: str | Path, ema: bool = False) -> Network:
    """The network of a finished run with its trained weights, in evaluation mode on the CPU.

    `folder` may be the path of its record, as `modernet train` prints it. `ema` takes the averaged weights. The names
    of the outputs are its `class_names`, empty where the run has none. Raises UserError where the folder holds no
    finished run or no such weights.
    """
    folder = run_folder(folder)
    record = finished_record(folder)
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise UserError(
            f"there is no file {path}; records in results/studies/ are kept without weights. For those of a run that "
            "lost them, delete its record.json and rerun its command"
        )
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader of pickles raises almost any exception for another file
        if is_out_of_memory(error):
            raise
        raise UserError(f"{path} is not a readable file of weights ({type(error).__name__})") from error
    if not isinstance(weights, dict) or "model" not in weights or not all(map(is_state_dict, weights.values())):
        raise UserError(f"{path} holds something else than the weights of a run")
    if RUN_OF_WEIGHTS in weights and record.hash not in weights[RUN_OF_WEIGHTS]:
        other = ", ".join(weights[RUN_OF_WEIGHTS])
        raise UserError(f"{path} has the weights of another run ({other}, not {record.hash})")
    name = "ema_model" if ema else "model"
    if name not in weights:
        raise UserError(f"{path} has no averaged weights; recipe.ema_decay={record.config['recipe']['ema_decay']}")
    model = build_model(ModelConfig(**record.config["model"]), record.config["data"]["num_classes"])
    if misfits := find_misfits(weights[name], model.state_dict()):
        raise UserError(f"{path} has the weights of another network than {folder / RECORD_FILE}: {misfits}")
    if damaged := [key for key, value in weights[name].items() if not value.isfinite().all()]:
        raise UserError(f"{path} is damaged: {damaged[0]} has values that are not finite")
    model.load_state_dict(weights[name])
    model.class_names = tuple(load_class_names(folder, record.config["data"]["num_classes"]))
    return model.eval()


def recipe_of(record: Record) -> RecipeConfig:
    """The recipe of a record; an older one may have fields that were removed."""
    known = {field.name for field in fields(RecipeConfig)}
    return RecipeConfig(**{name: value for name, value in record.config["recipe"].items() if name in known})


def evaluated_crop(record: Record) -> float:
    """The crop_pct of the evaluation of a run; images in memory were evaluated as they are."""
    data = DataConfig(**record.config["data"])
    return (recipe_of(record).crop_pct or data.crop_pct) if data.in_files else 1.0


def load_images(folder: str | Path, paths: Sequence[str | Path] | str | Path) -> Tensor:
    """(N, 3, H, W): one image file, or several, of any size, as `load_run(folder)` takes them.

    They are resized, cropped at the centre and normalized, as in the evaluation of the run. Raises UserError where the
    folder holds no finished run, and for no paths, DamagedImage for a file that is no image, and OSError for one that
    cannot be read.
    """
    record = finished_record(run_folder(folder))
    paths = [paths] if isinstance(paths, str | Path) else paths
    if not paths:
        raise UserError("load_images needs one path or more")
    data = DataConfig(**record.config["data"])
    transform = ImageTransform(data, replace(recipe_of(record), crop_pct=evaluated_crop(record)), record.seed)
    decoded = (decode_image(Path(path).read_bytes(), str(path), data.max_pixels) for path in paths)
    images = torch.stack([transform.center_crop(image) for image in decoded])  # (N, H, W, 3)
    return normalize(images.permute(0, 3, 1, 2), data)


def named_weights(model: Network, names: str) -> dict[str, Tensor]:
    """The weights under our names, or of an end of the roadmap under those of `torchvision` or the `authors`.

    Raises UserError for names that the network has no counterpart for.
    """
    if names == OUR_NAMES:
        return dict(model.state_dict())
    try:
        return export_pretrained(model, names)
    except ValueError as error:
        raise UserError(f"--names {names}: {error}; --names {OUR_NAMES} exports any network") from error


def export_run(folder: str | Path, path: Path, names: str = OUR_NAMES, ema: bool = False) -> None:
    """Write the trained network as safetensors. Its metadata are texts: `record` as JSON, `names`, `weights`, `format`.

    `classes`, the names of the outputs as a JSON list, is there where the run has names. Raises UserError where there
    is no such network.
    """
    folder = run_folder(folder)
    model, record = load_run(folder, ema), finished_record(folder)
    metadata = {
        "format": "pt",  # a convention of safetensors' readers
        "names": names,
        "weights": "ema_model" if ema else "model",
        "record": json.dumps(asdict(record)),
    }
    if model.class_names:
        metadata["classes"] = json.dumps(model.class_names)
    weights: dict[str, Any] = {name: value.contiguous() for name, value in named_weights(model, names).items()}
    write_bytes(path, save(weights, metadata))
