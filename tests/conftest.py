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

from modernet.data.loader import in_memory as arrays
from modernet import roadmap
from modernet.training.loop import CheckpointManager, fit
from modernet.runtime.distributed import DistributedEnv, batch_layout
from modernet.config.schema import DataConfig, ExecutionConfig, RecipeConfig
from modernet.config.roadmap import to_dict
from modernet.runtime.signals import ShutdownSignal
from modernet.training.state import Epoch, Plan, TrainState, prepare

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
    return to_dict(OmegaConf.create({"size": size, "values": values})["values"]) | changes


def recipe(name: str, **changes: Any) -> RecipeConfig:
    return RecipeConfig(**group(f"recipe/{name}", **changes))


def data_spec(name: str, **changes: Any) -> DataConfig:
    return DataConfig(**group(f"data/{name}", **changes))


def machine(**changes: Any) -> ExecutionConfig:
    here = {"device": "cpu", "amp": "off", "compile": "off", "channels_last": True, "micro_batch_size": None, "workers": 0}
    return ExecutionConfig(**{**here, "checkpoint_minutes": 60.0, **changes})


PLAIN = {"randaugment": 0.0, "mixup_alpha": 0.0, "cutmix_alpha": 0.0, "random_erasing_prob": 0.0}
SMALL = {**PLAIN, "epochs": 2, "batch_size": 64, "warmup_epochs": 1, "lr": 4e-3, "base_batch_size": 64, "init": "torch"}


def trained(
    folder: Path, seed: int = 0, how: ExecutionConfig | None = None, like: DataConfig | None = None, **changes: Any
) -> tuple[TrainState, list[Epoch]]:
    """A short training of ConvNeXt on digits; the changes are of the recipe."""
    like, on = like or data_spec("digits"), how or machine()
    with_these = recipe("modern", **{**SMALL, **changes})
    share = batch_layout(DistributedEnv(), with_these.batch_size, on.micro_batch_size)
    train, test = arrays.read(like)
    plan = Plan(with_these, len(train) // with_these.batch_size, seed, share)
    spec = replace(roadmap("micro")["convnext"], stem_stride=1)
    training = prepare(spec, 10, plan, on, torch.device("cpu"))
    loader = arrays.ArrayLoader(train, test, like, with_these, seed, share)
    keeper = CheckpointManager(folder, on.checkpoint_minutes, DistributedEnv(), ShutdownSignal(), {})
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
