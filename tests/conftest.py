"""Fixtures: train.py in a temporary folder, and data sets that may be absent."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from helpers import run_command, run_script

# The tests run in one process per core; more threads would wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"
for name in [name for name in os.environ if name.startswith("WANDB_")]:  # the developer's would win over the tests'
    del os.environ[name]
torch.set_num_threads(1)


@pytest.fixture
def train(tmp_path):
    """train.py with these arguments, its runs in a temporary folder, without wandb by default."""

    def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        wandb = [] if any("wandb=" in str(argument) for argument in arguments) else ["wandb=disabled"]
        return run_script("train.py", *arguments, *wandb, f"runs={tmp_path / 'runs'}", environment=environment)

    return call


@pytest.fixture
def train_in_process(tmp_path):
    """`train`, but in this interpreter, and so are the runs of a sweep: no second start of Python and torch."""

    def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        wandb = [] if any("wandb=" in str(argument) for argument in arguments) else ["wandb=disabled"]
        words = [str(argument) for argument in arguments]
        is_sweep = any(word in ("-m", "--multirun") or word.startswith("+study=") for word in words)
        alone = ["hydra.launcher.n_jobs=1"] if is_sweep and not any("launcher" in word for word in words) else []
        return run_command("train", *arguments, *wandb, *alone, f"runs={tmp_path / 'runs'}", environment=environment)

    return call


@pytest.fixture
def cifar10_root() -> Path:
    """The folder of cifar10.npz, from MODERNET_DATA."""
    root = Path(os.environ.get("MODERNET_DATA", "."))
    if not (root / "cifar10.npz").is_file():
        pytest.skip("needs CIFAR-10: MODERNET_DATA=DIR with DIR/cifar10.npz (modernet get_data cifar10 DIR)")
    return root


@pytest.fixture
def imagenette_root() -> Path:
    """The folder of imagenette160/, from MODERNET_DATA."""
    root = Path(os.environ.get("MODERNET_DATA", "."))
    if not (root / "imagenette160").is_dir():
        pytest.skip("needs Imagenette: MODERNET_DATA=DIR with DIR/imagenette160/ (modernet get_data imagenette DIR)")
    return root
