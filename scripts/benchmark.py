"""Measure the overhead on top of the arithmetic: ratios of speeds, measured in turn in one run, as medians.

python scripts/benchmark.py [--device cpu] [--rounds 7]      # minutes; writes results/benchmarks/DEVICE.json and .md

1. `fit` with the whole input pipeline of a protocol, against a bare loop of forward, backward and step on one batch.
2. Our ResNet-50 and ConvNeXt-T against torchvision's and timm's: forward, backward and step.
Rates are images/s. A ratio is the median over rounds of our rate to the other rate of the same round.
"""

import argparse
import json
import platform
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import hydra
import timm
import torch
import torch.nn.functional as F
import torchvision
from tabulate import tabulate
from torch import Tensor, nn, optim

from modernet import build_model, roadmap
from modernet.cli import exit_on_error
from modernet.config.experiment import build_execution, build_experiment
from modernet.config.search_path import CONFIGS
from modernet.runtime.device import device_name, select_device
from modernet.runtime.io import write_text
from modernet.runtime.provenance import current_commit
from modernet.training.trainer import Trainer

FOLDER = Path("results/benchmarks")
Contestant = Callable[[], float]  # does its work and returns images/s


def synchronized_time(device: torch.device) -> float:
    """The time when all work on the device is done, in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def measure_in_turn(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Rates of every contestant in every round; the first round warms up and does not count."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            rate = contestant()
            if number:
                rates[name].append(rate)
    return rates


def compare(rates: dict[str, list[float]], ours: str) -> dict[str, Any]:
    """Median rates, and the median ratio of ours to each of the others."""
    ratios = {
        name: median(a / b for a, b in zip(rates[ours], theirs, strict=True))
        for name, theirs in rates.items()
        if name != ours
    }
    return {"images_per_second": {name: median(values) for name, values in rates.items()}, "ratio": ratios}


def bare_loop(
    call: Callable[[Tensor], Tensor], optimizer: optim.Optimizer, autocast: Callable, steps: int, batch: tuple
) -> Contestant:
    """Forward, backward and step on one batch on the device."""
    images, labels = batch

    def contestant() -> float:
        started = synchronized_time(images.device)
        for _ in range(steps):
            with autocast():
                logits = call(images)
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
        return steps * len(images) / (synchronized_time(images.device) - started)

    return contestant


def prepare_trainer(protocol: str, step: str, device: str, steps: int, epochs: int, folder: Path) -> Trainer:
    """A trainer on random images, ready to fit: epochs of `steps` steps with the input pipeline of the protocol."""
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = hydra.compose("config", [f"protocol={protocol}", f"+step={step}", f"device={device}"])
        experiment, execution = build_experiment(config), build_execution(config)
    images = steps * experiment.recipe.batch_size
    data = replace(experiment.data, kind="fake", root=None, num_classes=10, train_images=images, test_images=10)
    recipe = replace(experiment.recipe, epochs=epochs, warmup_epochs=0)
    trainer = Trainer.from_experiment(replace(experiment, data=data, recipe=recipe), folder, execution)
    trainer.validate()
    trainer.lock()
    trainer.build()
    trainer.resume()
    return trainer


def fit_against_loop(protocol: str, step: str, device: torch.device, steps: int, rounds: int) -> dict[str, Any]:
    """Epochs of the product, from batches to checkpoints, against the bare loop."""
    with TemporaryDirectory() as folder:
        prepare = partial(prepare_trainer, protocol, step, str(device), steps, rounds + 1)
        with prepare(Path(folder, "fit")) as trainer, prepare(Path(folder, "bare")) as bare:
            size, batch_size = trainer.experiment.data.image_size, trainer.experiment.recipe.batch_size
            epochs, state = trainer.epochs(), bare.state
            images = torch.randn(batch_size, 3, size, size, device=device)
            labels = torch.randint(10, (batch_size,), device=device)
            state.model.train()
            contestants = {
                "fit": lambda: next(epochs).images_per_second,
                "bare loop": bare_loop(state.train_model, state.optimizer, state.autocast, steps, (images, labels)),
            }
            result = compare(measure_in_turn(contestants, rounds), "fit")
    return {"what": f"fit, {protocol}, {step}, batch {batch_size}, {size} px", **result}


NETWORKS: dict[str, dict[str, Callable[[], nn.Module]]] = {
    "resnet50": {
        "modernet": lambda: build_model(roadmap("t")["resnet50"]),
        "torchvision": torchvision.models.resnet50,
        "timm": lambda: timm.create_model("resnet50"),
    },
    "convnext": {
        "modernet": lambda: build_model(roadmap("t")["convnext"]),
        "torchvision": lambda: torchvision.models.convnext_tiny(stochastic_depth_prob=0.0),
        "timm": lambda: timm.create_model("convnext_tiny"),
    },
}


def compare_networks(name: str, device: torch.device, batch: int, size: int, steps: int, rounds: int) -> dict[str, Any]:
    """One network in three libraries, channels last, in bf16 on a GPU."""
    images = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(1000, (batch,), device=device)

    def contestant(make: Callable[[], nn.Module]) -> Contestant:
        model = make().to(device).to(memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
        optimizer = optim.AdamW(model.parameters(), fused=True)
        autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=device.type == "cuda")
        return bare_loop(model, optimizer, autocast, steps, (images, labels))

    rates = measure_in_turn({library: contestant(make) for library, make in NETWORKS[name].items()}, rounds)
    return {"what": f"{name}, batch {batch}, {size} px", **compare(rates, "modernet")}


def markdown(results: list[dict[str, Any]]) -> str:
    rows = [
        [result["what"], name, f"{rate:,.1f}", f"{result['ratio'][name]:.3f}" if name in result["ratio"] else ""]
        for result in results
        for name, rate in result["images_per_second"].items()
    ]
    return tabulate(rows, ["what", "by", "images/s", "ratio of ours"], "github", disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    device, rounds = select_device(arguments.device), arguments.rounds
    gpu = device.type == "cuda"
    protocol, steps = ("cifar10", 40) if gpu else ("cifar10_micro", 8)
    size = {"batch": 128, "size": 224, "steps": 10} if gpu else {"batch": 8, "size": 128, "steps": 1}

    results = [fit_against_loop(protocol, step, device, steps, rounds) for step in ("modern_recipe", "convnext")]
    results += [compare_networks(name, device, rounds=rounds, **size) for name in NETWORKS]
    about = {
        "device": device_name(device),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
        "commit": current_commit(),
        "rounds": rounds,
        "results": results,
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{re.sub(r'[^A-Za-z0-9]+', '-', device_name(device))}.json"
    write_text(path, json.dumps(about, indent=1) + "\n")
    head = f"<!-- Made by `python scripts/benchmark.py`; {path.name} has the whole. -->\n\n"
    write_text(path.with_suffix(".md"), f"{head}{markdown(results)}\n")
    print(markdown(results), path, sep="\n\n")


if __name__ == "__main__":
    with exit_on_error():
        main()
