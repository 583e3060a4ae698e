"""What the tests share: the real entry as a subprocess, and the data sets that may not be there."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

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


@pytest.fixture
def train(tmp_path):
    """train.py with these arguments, its runs in a temporary folder."""

    def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return run("train.py", *arguments, f"runs={tmp_path / 'runs'}", environment=environment)

    return call


@pytest.fixture
def cifar10_root() -> Path:
    """The folder of cifar10.npz, from MODERNET_DATA."""
    root = Path(os.environ.get("MODERNET_DATA", "."))
    if not (root / "cifar10.npz").is_file():
        pytest.skip("needs CIFAR-10: MODERNET_DATA=DIR with DIR/cifar10.npz (scripts/get_data.py cifar10 DIR)")
    return root
