"""Shared by the tests: the product's real entries, and configs and trainers small enough for a test."""

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hydra
import pytest
import torch
from omegaconf import OmegaConf
from trials.processes import without_clock

from modernet import roadmap
from modernet.config.experiment import Experiment, build_experiment, initialize_hydra
from modernet.config.roadmap import to_dict
from modernet.config.schema import DataConfig, ExecutionConfig, RecipeConfig
from modernet.record import Epoch
from modernet.runtime.file_names import METRICS_FILE, RECORD_FILE, WEIGHTS_FILE
from modernet.runtime.signals import ShutdownSignal
from modernet.training.trainer import Trainer

ROOT = Path(__file__).parents[1]

MAIN_PATH = [
    "resnet50",
    "modern_recipe",
    "stage_ratio",
    "patchify_stem",
    "depthwise_conv",
    "increase_width",
    "invert_bottleneck",
    "move_up_depthwise",
    "kernel_size",
    "gelu",
    "fewer_activations",
    "fewer_norms",
    "layer_norm",
    "separate_downsampling",
    "convnext",
]
# Steps beside and behind the paper, in roadmap order, and all steps in that order.
BEYOND = ["resnext", "conv_stem", "grn", "inception_mixer", "large_kernel"]
ALL_STEPS = [*MAIN_PATH[:4], BEYOND[0], *MAIN_PATH[4:], *BEYOND[1:]]


def run_script(
    *command: object, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a Python script of the project, as a user would from the repository's root."""
    words = [sys.executable, *map(str, command)]
    return subprocess.run(
        words, cwd=cwd, env=os.environ | dict(environment or {}), capture_output=True, text=True, check=False
    )


def run_command(
    verb: str, *arguments: object, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `modernet VERB ARGUMENTS` in this interpreter, where a new process is not the point.

    A command that replaces its process by another one would end the tests: `run_script` is for these.
    """
    main, words = import_module(f"modernet.commands.{verb}").main, [f"{verb}.py", *map(str, arguments)]
    out, err, status = StringIO(), StringIO(), 0
    changes = patch.dict(os.environ, environment or {}), patch.object(sys, "argv", words)
    keep_process = patch.object(os, "execv", side_effect=AssertionError("this command replaces its process"))
    with changes[0], changes[1], keep_process, redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def run_on_small_disk(folder: Path, command: list[str], megabytes: int) -> subprocess.CompletedProcess[str]:
    """Run with a file system of that size mounted at FOLDER/disk; skips where a user may not mount one."""
    (folder / "disk").mkdir()
    mount = f'mount -t tmpfs -o size={megabytes}m tmpfs {folder / "disk"} && exec "$@"'
    words = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    try:
        allowed = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("needs to mount a small file system (unshare --map-root-user --mount)")
    return subprocess.run([*words, *command], capture_output=True, text=True, check=False)


def printed_record(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The record whose path train.py printed last."""
    assert result.returncode == 0, result.stderr
    return json.loads((ROOT / result.stdout.splitlines()[-1]).read_text())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a file with one JSON object per line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def load_outcome(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, dict[str, torch.Tensor]]]:
    """A finished run's record and epochs, without what depends on the clock, and its weights."""
    record = json.loads((folder / RECORD_FILE).read_text())
    epochs = read_lines(folder / METRICS_FILE)
    return (
        without_clock(record),
        [without_clock(epoch) for epoch in epochs],
        torch.load(folder / WEIGHTS_FILE, weights_only=True),
    )


def assert_identical_runs(folder: Path, other: Path) -> None:
    """Two finished runs have the same record, the same epochs and, bit for bit, the same weights."""
    (record, epochs, weights), (record2, epochs2, weights2) = load_outcome(folder), load_outcome(other)
    assert epochs == epochs2
    assert record == record2
    assert weights.keys() == weights2.keys()
    for part, values in weights.items():
        assert all(torch.equal(value, weights2[part][name]) for name, value in values.items()), part


def config_values(name: str, **changes: Any) -> dict[str, Any]:
    """The values of configs/NAME.yaml, with these changes."""
    size = OmegaConf.load(ROOT / "configs/size/micro.yaml")
    values: Any = OmegaConf.load(ROOT / f"configs/{name}.yaml")
    fields = OmegaConf.masked_copy(values, [key for key in values if key != "defaults"])
    return to_dict(OmegaConf.create({"size": size, "values": fields})["values"]) | changes


def recipe_config(name: str, **changes: Any) -> RecipeConfig:
    """configs/recipe/NAME.yaml at size micro, with these changes."""
    return RecipeConfig(**config_values(f"recipe/{name}", **changes))


def data_config(name: str, **changes: Any) -> DataConfig:
    """configs/data/NAME.yaml, with these changes."""
    return DataConfig(**config_values(f"data/{name}", **changes))


def compose(*overrides: str) -> Experiment:
    """The experiment of `train.py` with these overrides."""
    with initialize_hydra():
        return build_experiment(hydra.compose("config", [*overrides]))


def execution_config(**changes: Any) -> ExecutionConfig:
    """On the CPU, in this process, with these changes."""
    return ExecutionConfig(**{"device": "cpu", "amp": "off", "num_workers": 0, "checkpoint_minutes": 60.0, **changes})


class MakesFolder:
    """Code in a pickle: loading it makes the folder `made` in the working directory."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("made",)


NO_AUGMENTATION: dict[str, Any] = {
    "randaugment": 0.0,
    "mixup_alpha": 0.0,
    "cutmix_alpha": 0.0,
    "random_erasing_prob": 0.0,
}
ALL_AUGMENTATION: dict[str, Any] = {
    "randaugment": 9.0,
    "mixup_alpha": 0.8,
    "cutmix_alpha": 1.0,
    "random_erasing_prob": 0.25,
}
SHORT_RECIPE = {
    **NO_AUGMENTATION,
    "epochs": 2,
    "batch_size": 64,
    "lr": 4e-3,
    "base_batch_size": 64,
    "init": "torch",
}


RANDOM_IMAGES = (  # overrides of train.py: a run of 64 images takes a tenth of a second
    "data=fake",
    "data.image_size=8",
    "data.num_classes=10",
    "data.train_images=64",
    "data.test_images=16",
)
QUICK_RUN = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=32", *RANDOM_IMAGES)


def random_images(train_images: int, **changes: Any) -> DataConfig:
    """data=fake in the shape of the digits, with a quarter as many test images."""
    shape = {"image_size": 8, "num_classes": 10, "train_images": train_images, "test_images": train_images // 4}
    return data_config("fake", **{**shape, **changes})


def short_experiment(
    step: str = "convnext",
    seed: int = 0,
    data: DataConfig | None = None,
    depths: tuple[int, ...] | None = None,
    **recipe: Any,
) -> Experiment:
    """A step of size micro on the digits for two epochs; keyword arguments change the recipe.

    Warm-up takes half of the epochs.
    """
    model = replace(roadmap("micro")[step], stem_stride=1)
    model = replace(model, depths=depths or model.depths)
    recipe = {**SHORT_RECIPE, **recipe}
    recipe_ = recipe_config("modern", **{"warmup_epochs": recipe["epochs"] / 2, **recipe})
    return Experiment(step, step, "digits", "micro", seed, model, recipe_, data or data_config("digits"))


def ready_trainer(
    folder: Path,
    experiment: Experiment | None = None,
    execution: ExecutionConfig | None = None,
    shutdown: ShutdownSignal | None = None,
) -> Trainer:
    """A trainer that has gone through every stage before `fit`."""
    execution = execution or execution_config()
    trainer = Trainer.from_experiment(experiment or short_experiment(), folder, execution, shutdown=shutdown)
    trainer.prepare()
    return trainer


def train_to_record(folder: Path, experiment: Experiment | None = None, **changes: Any) -> Path:
    """A finished run, by default of one epoch of 64 random images; keyword arguments change the experiment."""
    experiment = replace(experiment or short_experiment(data=random_images(64), epochs=1), **changes)
    assert Trainer.from_experiment(experiment, folder, execution_config()).train().status == "done"
    return folder


def train_short(folder: Path, execution: ExecutionConfig | None = None, **changes: Any) -> tuple[Trainer, list[Epoch]]:
    """Train `short_experiment(**changes)` to the end; the trainer and its epochs."""
    with ready_trainer(folder, short_experiment(**changes), execution) as trainer:
        return trainer, list(trainer.epochs())


def read_terminal(reader: int, shown: list[bytes]) -> None:
    """Read what a terminal shows until its writing end is closed."""
    with contextlib.suppress(OSError):  # raised when the writing end is closed
        while content := os.read(reader, 65_536):
            shown.append(content)


@contextlib.contextmanager
def stderr_terminal(columns: int = 200) -> Iterator[list[bytes]]:
    """Make standard error a terminal; after the context the list has everything that it showed."""
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))  # rows, columns
    shown: list[bytes] = []
    thread = threading.Thread(target=read_terminal, args=(reader, shown))  # a terminal's buffer is small
    thread.start()
    with os.fdopen(writer, "w") as stream, contextlib.redirect_stderr(stream):
        yield shown
    thread.join()
    os.close(reader)
