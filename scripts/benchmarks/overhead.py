"""`fit`, with the input pipeline of a protocol, against a bare loop of forward, backward and step on one batch."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import hydra
import torch

from benchmarks.measuring import Row, compare, measure_in_turn, random_batch, train_contestant
from modernet.config.experiment import build_execution, build_experiment
from modernet.config.search_path import CONFIGS
from modernet.training.trainer import Trainer


def prepare_trainer(protocol: str, step: str, device: str, steps: int, epochs: int, folder: Path) -> Trainer:
    """A trainer on random images, ready to fit: epochs of `steps` steps with the input pipeline of the protocol."""
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = hydra.compose("config", [f"protocol={protocol}", f"+step={step}", f"device={device}"])
        experiment, execution = build_experiment(config), build_execution(config)
    images = steps * experiment.recipe.batch_size
    data = replace(experiment.data, kind="fake", root=None, num_classes=10, train_images=images, test_images=10)
    recipe = replace(experiment.recipe, warmup_epochs=0, epochs=epochs)
    trainer = Trainer.from_experiment(replace(experiment, data=data, recipe=recipe), folder, execution)
    trainer.validate()
    trainer.lock()
    trainer.build()
    trainer.resume()
    return trainer


def fit_against_loop(protocol: str, step: str, device: torch.device, steps: int, rounds: int) -> Row:
    """Epochs of the product, from batches to checkpoints, against the bare loop."""
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
