"""Finished runs, trained once."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import execution_config, short_experiment, train_to_record
from image_files import files_config, write_folder

from modernet.data.fingerprint import resolve_data
from modernet.training.trainer import Trainer


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """A finished run of convnext on the digits, with averaged weights; tests do not change it."""
    folder = tmp_path_factory.mktemp("runs") / "digits" / "convnext"
    return train_to_record(folder, short_experiment(epochs=1, ema_decay=0.5))


@pytest.fixture(scope="session")
def flowers(tmp_path_factory) -> Path:
    """A finished run on a user's own class folders, of which dog has a single test image, and data.root is theirs."""
    root = write_folder(tmp_path_factory.mktemp("flowers") / "images")
    for path in sorted((root / "val/dog").iterdir())[1:]:
        path.unlink()
    shutil.copytree(root / "val", root / "test")
    (root / "test/cat/00.jpg").unlink()
    data = replace(files_config("folder", root), name="flowers")
    experiment = short_experiment(data=data, epochs=1, batch_size=8)
    Trainer.from_experiment(resolve_data(experiment), root / "../run", execution_config()).train()
    return (root / "../run").resolve()
