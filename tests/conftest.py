"""What the tests share: the real entry as a subprocess, and the data sets that may not be there."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from modernet import arrays, roadmap
from modernet.fit import Keeper, fit
from modernet.place import Place, share_of
from modernet.spec import DataSpec, Machine, Recipe
from modernet.steps import to_kwargs
from modernet.stop import Stop
from modernet.training import Epoch, Plan, Training, prepare

ROOT = Path(__file__).parents[1]

# The tests run in one process per core; more threads would only wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


def run(
    *command: object, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a Python script of the project, as a user would from the repository's root."""
    words = [sys.executable, *map(str, command)]
    return subprocess.run(
        words, cwd=cwd, env=os.environ | dict(environment or {}), capture_output=True, text=True, check=False
    )


def group(name: str, **changes: Any) -> dict[str, Any]:
    """The values of configs/NAME.yaml, with these changes."""
    size, values = (OmegaConf.load(ROOT / f"configs/{path}.yaml") for path in ("size/micro", name))
    return to_kwargs(OmegaConf.create({"size": size, "values": values})["values"]) | changes


def recipe(name: str, **changes: Any) -> Recipe:
    return Recipe(**group(f"recipe/{name}", **changes))


def data_spec(name: str, **changes: Any) -> DataSpec:
    return DataSpec(**group(f"data/{name}", **changes))


def machine(**changes: Any) -> Machine:
    here = {"device": "cpu", "amp": "off", "compile": "off", "channels_last": True, "device_batch": None, "workers": 0}
    return Machine(**{**here, "checkpoint_minutes": 60.0, **changes})


PLAIN = {"randaugment": 0.0, "mixup": 0.0, "cutmix": 0.0, "random_erasing": 0.0}
SMALL = {**PLAIN, "epochs": 2, "batch_size": 64, "warmup_epochs": 1, "lr": 4e-3, "lr_batch": 64, "init": "torch"}


def trained(
    folder: Path, seed: int = 0, how: Machine | None = None, like: DataSpec | None = None, **changes: Any
) -> tuple[Training, list[Epoch]]:
    """A short training of ConvNeXt on digits; the changes are of the recipe."""
    like, on = like or data_spec("digits"), how or machine()
    with_these = recipe("modern", **{**SMALL, **changes})
    share = share_of(Place(), with_these.batch_size, on.device_batch)
    train, test = arrays.read(like)
    plan = Plan(with_these, len(train) // with_these.batch_size, seed, share)
    spec = replace(roadmap("micro")["convnext"], stem_stride=1)
    training = prepare(spec, 10, plan, on, torch.device("cpu"))
    loader = arrays.ArrayLoader(train, test, like, with_these, seed, share)
    keeper = Keeper(folder, on.checkpoint_minutes, Place(), Stop(), {})
    return training, list(fit(training, loader, plan, keeper))


@pytest.fixture
def train(tmp_path):
    """train.py with these arguments, its runs in a temporary folder, without wandb unless told."""

    def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        quiet = [] if any("wandb=" in str(argument) for argument in arguments) else ["wandb=disabled"]
        return run("train.py", *arguments, *quiet, f"runs={tmp_path / 'runs'}", environment=environment)

    return call


@pytest.fixture
def cifar10_root() -> Path:
    """The folder of cifar10.npz, from MODERNET_DATA."""
    root = Path(os.environ.get("MODERNET_DATA", "."))
    if not (root / "cifar10.npz").is_file():
        pytest.skip("needs CIFAR-10: MODERNET_DATA=DIR with DIR/cifar10.npz (scripts/get_data.py cifar10 DIR)")
    return root


@pytest.fixture
def imagenette_root() -> Path:
    """The folder of imagenette160/, from MODERNET_DATA."""
    root = Path(os.environ.get("MODERNET_DATA", "."))
    if not (root / "imagenette160").is_dir():
        pytest.skip("needs Imagenette: MODERNET_DATA=DIR with DIR/imagenette160/ (scripts/get_data.py imagenette DIR)")
    return root
