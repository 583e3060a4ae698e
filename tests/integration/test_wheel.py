"""The installed wheel in an empty folder: every verb of `modernet`, and the user's own configs by --config-dir."""

import csv
import io
import json
import os
import subprocess
import sys
import sysconfig
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]

Modernet = Callable[..., str]

USER_CONFIGS = {
    "step/my_step.yaml": """
        # @package _global_
        # Kernels of 5 x 5.
        defaults: [convnext, _self_]
        step: my_step
        model: {kernel_size: 5}
        """,
    "size/my_size.yaml": """
        name: my_size
        start: resnet50
        depths_before: [1, 1, 1, 1]
        depths_after: [1, 1, 2, 1]
        width_before: 8
        width_between: 8
        width_after: 12
        drop_path_rate: 0.0
        """,
    "recipe/my_recipe.yaml": """
        defaults: [modern, _self_]
        name: my_recipe
        label_smoothing: 0.2
        """,
    "tuned/my_protocol_modern.yaml": """
        lr: 2.0e-3
        base_batch_size: 16
        init: torch
        """,
    "protocol/my_protocol.yaml": """
        # @package _global_
        # Trains in a second.
        defaults:
          - override /size: my_size
          - override /data: my_data
          - _self_
        protocol: my_protocol
        model: {stem_stride: 1}
        recipe: {epochs: 1, batch_size: 16, warmup_epochs: 0}
        """,
    "data/my_data.yaml": """
        name: my_data
        kind: npz
        root: mine
        split: train/test
        num_classes: null
        image_size: 16
        mean: [0.5, 0.5, 0.5]
        std: [0.25, 0.25, 0.25]
        flip: true
        crop_padding: 2
        crop_pct: 1.0
        train_images: null
        test_images: null
        """,
    "study/my_study.yaml": """
        # @package _global_
        # The last step and the step behind it.
        hydra:
          mode: MULTIRUN
          sweeper:
            params:
              +step: convnext,my_step
        """,
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "uv", "build", ROOT, "--out-dir", folder, "--python", sys.executable]
    subprocess.run([*build, "--offline", "--no-build-isolation"], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A new virtual environment with the wheel; the dependencies come from this environment through a .pth file."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    install = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--offline",
        "--no-deps",
        "--python",
        folder / "bin/python",
    ]
    subprocess.run([*install, wheel], check=True, capture_output=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with nothing but mine/, the user's configs and data."""
    folder = tmp_path_factory.mktemp("empty")
    for name, text in USER_CONFIGS.items():
        path = folder / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).strip())
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 32), ("test", 12)):
        arrays[f"x_{split}"] = rng.integers(0, 256, (n, 16, 16, 3), np.uint8)
        arrays[f"y_{split}"] = np.arange(n) % 3
    np.savez(folder / "mine/my_data.npz", **arrays)
    return folder


@pytest.fixture(scope="module")
def modernet(environment, folder) -> Modernet:
    """The console script in that folder; returns what it prints."""
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MODERNET_DATA")}

    def call(*arguments: str) -> str:
        words = [environment / "bin/modernet", *arguments]
        result = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"modernet {' '.join(arguments)}\n{result.stdout}{result.stderr}"
        return result.stdout

    return call


def train(modernet: Modernet, folder: Path, *overrides: str) -> list[dict]:
    """The records of a training command with the user's configs."""
    words = ("--config-dir", "mine", "protocol=my_protocol", *overrides, "wandb=disabled")
    return [json.loads((folder / line).read_text()) for line in modernet("train", *words).splitlines()]


def test_wheel_declares_its_types(wheel):
    assert "modernet/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_commands_work_in_an_empty_folder(modernet):
    listed = [line.split()[0] for line in modernet("--help").splitlines() if line.startswith("  ")]
    assert {"train", "table", "figures", "report", "costs", "plan"} <= set(listed)
    record = modernet("train", "+step=gelu", "recipe.epochs=1", "recipe.warmup_epochs=0", "wandb=disabled")
    assert record.startswith("results/runs/digits/gelu")
    assert "| gelu " in modernet("table")
    assert modernet("report") == "results/report.html\n"


def test_values_tuned_for_a_protocol_reach_a_derived_recipe(modernet, folder):
    (record,) = train(modernet, folder, "+step=my_step", "recipe=my_recipe")
    assert record["variant"] == "my_step+recipe=my_recipe"
    recipe = record["config"]["recipe"]
    assert recipe["label_smoothing"] == 0.2  # of my_recipe
    assert recipe["lr"] == 2e-3  # tuned for my_protocol
    assert recipe["optimizer"] == "adamw"  # of modern


def test_the_users_step_belongs_to_studies_costs_tables_and_figures(modernet, folder):
    records = train(modernet, folder, "+study=my_study")
    assert [record["variant"] for record in records] == ["convnext", "my_step"]
    for record in records:
        assert (record["protocol"], record["size"], record["data"]) == ("my_protocol", "my_size", "my_data")
        assert record["config"]["data"]["num_classes"] == 3
    assert train(modernet, folder, "+step=my_step", "ablate=my_step") == records[:1]  # finished

    study = ("+study=leave_one_out", "study.end=my_step", "protocol=my_protocol")
    planned = modernet("plan", "--config-dir", "mine", *study)
    assert "14 runs, 12 to train" in planned  # my_step, and my_step without my_step, are finished
    assert "| my_step+act=relu, seed 0" in planned

    costs = json.loads(modernet("costs", "--config-dir", "mine", "--size", "my_size", "--json"))
    names = [row["step"] for row in costs]
    assert names.index("convnext") < names.index("my_step") == len(names) - 1
    train(modernet, folder, "+step=separate_downsampling")
    selection = ("--config-dir", "mine", "--protocol", "my_protocol")
    rows = csv.DictReader(io.StringIO(modernet("table", *selection, "--csv")))
    names = [row["variant"] for row in rows if row["variant"] != "my_step+recipe=my_recipe"]  # of the test above
    assert names.index("convnext") < names.index("my_step") == len(names) - 1
    assert "results/runs/figures/my_protocol-my_size-pareto.svg" in modernet("figures", *selection).splitlines()
    assert "my_step" in (folder / modernet("report", *selection).strip()).read_text()
