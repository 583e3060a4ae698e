"""`fit`, with the input pipeline of a protocol, against a bare loop on one batch, and without what makes it faster."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import hydra
import torch

from benchmarks.measuring import (
    Contestant,
    in_own_process,
    measure_in_turn,
    random_batch,
    train_contestant,
)
from benchmarks.rows import Row, compare
from modernet.config.experiment import build_execution, build_experiment, initialize_hydra
from modernet.training.trainer import Trainer


def prepare_trainer(protocol: str, step: str, device: str, steps: int, epochs: int, folder: Path) -> Trainer:
    """A trainer on random images, ready to fit: epochs of `steps` steps with the input pipeline of the protocol."""
    with initialize_hydra():
        config = hydra.compose("config", [f"protocol={protocol}", f"+step={step}", f"device={device}"])
        experiment, execution = build_experiment(config), build_execution(config)
    images = steps * experiment.recipe.batch_size
    data = replace(experiment.data, kind="fake", root=None, num_classes=10, train_images=images, test_images=10)
    recipe = replace(experiment.recipe, warmup_epochs=0, epochs=epochs)
    trainer = Trainer.from_experiment(replace(experiment, data=data, recipe=recipe), folder, execution)
    trainer.prepare()
    return trainer


def fit_against_loop(protocol: str, step: str, device: torch.device, steps: int, rounds: int) -> Row:
    """Epochs of the product, without checkpoints and evaluation, against the bare loop."""
    with TemporaryDirectory() as folder:
        prepare = partial(prepare_trainer, protocol, step, str(device), steps, rounds + 1)
        with prepare(Path(folder, "fit")) as trainer, prepare(Path(folder, "bare")) as bare:
            size, batch_size = trainer.experiment.data.image_size, trainer.experiment.recipe.batch_size
            epochs, state = trainer.epochs(), bare.state
            batch = random_batch(batch_size, size, device, num_classes=10)
            contestants = {
                "fit": lambda: next(epochs).images_per_second,
                "bare loop": train_contestant(state.train_model, state.optimizer, batch, state.autocast, steps),
            }
            rates = measure_in_turn(contestants, rounds)
    return compare(f"fit, {protocol}, {step}, batch {batch_size}, {size} px", "images/s", rates, "fit")


def fit_contestant(
    protocol: str, step: str, device: torch.device, steps: int, rounds: int, folder: Path, keeps: bool
) -> Contestant:
    """Epochs of the product; `keeps` is whether it keeps freed memory (`modernet.runtime.device.keep_freed_memory`)."""
    with nullcontext() if keeps else patch("modernet.training.trainer.keep_freed_memory"):
        epochs = prepare_trainer(protocol, step, str(device), steps, rounds + 1, folder).epochs()
    return lambda: next(epochs).images_per_second


def fit_with_kept_memory(protocol: str, step: str, device: torch.device, steps: int, rounds: int) -> Row:
    """The product, and the product whose freed memory goes back to the kernel."""
    build = partial(in_own_process, fit_contestant, protocol, step, device, steps, rounds)
    with (
        TemporaryDirectory() as folder,
        build(Path(folder, "kept"), True) as keeping,
        build(Path(folder, "given back"), False) as returning,
    ):
        rates = measure_in_turn({"memory kept": keeping, "memory given back": returning}, rounds)
    return compare(f"fit, {protocol}, {step}", "images/s", rates, "memory kept")
