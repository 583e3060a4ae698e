"""Trained networks, loaded from the folders of their runs."""

from pathlib import Path

import torch

from modernet.config.schema import ModelConfig
from modernet.errors import UserError
from modernet.models.network import Network, build_model
from modernet.record import find_record
from modernet.training.trainer import WEIGHTS_FILE


def load_run(folder: str | Path, ema: bool = False) -> Network:
    """The network of a finished run with its trained weights, in evaluation mode on the CPU.

    `ema` takes the averaged weights. Raises UserError where the folder holds no finished run or no such weights.
    """
    folder = Path(folder)
    record = find_record(folder)
    path = folder / WEIGHTS_FILE
    if record is None or record.status != "done":
        raise UserError(f"{folder} holds no finished run; its record.json must have the status done")
    if not path.is_file():
        raise UserError(f"there is no file {path}; records in results/studies/ are kept without weights")
    weights = torch.load(path, map_location="cpu", weights_only=True)
    name = "ema_model" if ema else "model"
    if name not in weights:
        raise UserError(f"{path} has no averaged weights; recipe.ema_decay={record.config['recipe']['ema_decay']}")
    model = build_model(ModelConfig(**record.config["model"]), record.config["data"]["num_classes"])
    model.load_state_dict(weights[name])
    return model.eval()
