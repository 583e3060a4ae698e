"""Measure what stands on top of the arithmetic: ratios of speeds, taken in turn in one run, as medians.

python scripts/benchmark.py [--device cpu] [--rounds 7]      # minutes; writes results/benchmarks/DEVICE.json and .md

1. `fit` with everything a protocol does to its images, against a bare loop of forward, backward and step on one batch.
2. Our ResNet-50 and ConvNeXt-T against torchvision's and timm's: forward, backward and step.
Rates are images/s. A ratio is the median over rounds of ours to the other in the same round.
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

from modernet.data.loader import in_memory as arrays
from modernet import build
from modernet import record
from modernet import roadmap
from modernet.runtime.device import device_name, select_device
from modernet.errors import one_line
from modernet.config.experiment import from_config, machine
from modernet.training.loop import CheckpointManager, fit
from modernet.runtime.distributed import DistributedEnv, batch_layout
from modernet.config.roadmap import CONFIGS
from modernet.runtime.signals import ShutdownSignal
from modernet.training.state import Plan, TrainState, prepare

FOLDER = Path("results/benchmarks")
Timed = Callable[[], float]  # does its work and returns images/s


def waited(device: torch.device) -> float:
    """The time when all work on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def in_turn(contestants: dict[str, Timed], rounds: int) -> dict[str, list[float]]:
    """Rates of every contestant in every round; the first round, which warms up, is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, timed in contestants.items():
            rate = timed()
            if number:
                rates[name].append(rate)
    return rates


def compared(rates: dict[str, list[float]], ours: str) -> dict[str, Any]:
    """Median rates, and the median ratio of ours to each of the others."""
    ratios = {
        name: median(a / b for a, b in zip(rates[ours], theirs, strict=True))
        for name, theirs in rates.items()
        if name != ours
    }
    return {"images_per_second": {name: median(values) for name, values in rates.items()}, "ratio": ratios}


def loop(
    call: Callable[[Tensor], Tensor], optimizer: optim.Optimizer, autocast: Callable, steps: int, batch: tuple
) -> Timed:
    """Forward, backward and step on one batch that lies there."""
    images, labels = batch

    def timed() -> float:
        began = waited(images.device)
        for _ in range(steps):
            with autocast():
                logits = call(images)
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
        return steps * len(images) / (waited(images.device) - began)

    return timed


def composed(protocol: str, step: str, device: str) -> tuple[Any, Any]:
    with hydra.initialize_config_dir(str(CONFIGS.resolve()), version_base="1.3"):
        config = hydra.compose("config", [f"protocol={protocol}", f"+step={step}", f"device={device}", "data=fake"])
        return from_config(config), machine(config)


def fit_against_loop(protocol: str, step: str, device: torch.device, steps: int, rounds: int) -> dict[str, Any]:
    """An epoch of `steps` steps of the product, from batches to checkpoints, against the bare loop."""
    run, how = composed(protocol, step, str(device))
    size = 32 if protocol.startswith("cifar10") else run.data.image_size
    batch = run.recipe.batch_size
    data = replace(run.data, num_classes=10, image_size=size, train_images=steps * batch, test_images=10)
    recipe = replace(run.recipe, epochs=rounds + 1, warmup_epochs=0)
    share = batch_layout(DistributedEnv(), batch, None)
    plan = Plan(recipe, steps, 0, share)
    train, test = (images.to(device) for images in arrays.read(data))
    loader = arrays.ArrayLoader(train, test, data, recipe, 0, share)

    def prepared() -> TrainState:
        return prepare(run.model, data.num_classes, plan, how, device)

    with TemporaryDirectory() as folder:
        ours, bare = prepared(), prepared()
        epochs = fit(ours, loader, plan, CheckpointManager(Path(folder), how.checkpoint_minutes, DistributedEnv(), ShutdownSignal(), {}))
        images = torch.randn(batch, 3, size, size, device=device)
        labels = torch.randint(data.num_classes, (batch,), device=device)
        bare.model.train()
        contestants = {
            "fit": lambda: next(epochs).images_per_second,
            "bare loop": loop(bare.forward, bare.optimizer, bare.autocast, steps, (images, labels)),
        }
        result = compared(in_turn(contestants, rounds), "fit")
    return {"what": f"fit, {protocol}, {step}, batch {batch}, {size} px", **result}


NETWORKS: dict[str, dict[str, Callable[[], nn.Module]]] = {
    "resnet50": {
        "modernet": lambda: build(roadmap("t")["resnet50"]),
        "torchvision": torchvision.models.resnet50,
        "timm": lambda: timm.create_model("resnet50"),
    },
    "convnext": {
        "modernet": lambda: build(roadmap("t")["convnext"]),
        "torchvision": lambda: torchvision.models.convnext_tiny(stochastic_depth_prob=0.0),
        "timm": lambda: timm.create_model("convnext_tiny"),
    },
}


def networks(name: str, device: torch.device, batch: int, size: int, steps: int, rounds: int) -> dict[str, Any]:
    """One network as three libraries have it, channels last, in bf16 on a GPU."""
    images = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(1000, (batch,), device=device)

    def contestant(make: Callable[[], nn.Module]) -> Timed:
        model = make().to(device).to(memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
        optimizer = optim.AdamW(model.parameters(), fused=True)
        autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=device.type == "cuda")
        return loop(model, optimizer, autocast, steps, (images, labels))

    rates = in_turn({library: contestant(make) for library, make in NETWORKS[name].items()}, rounds)
    return {"what": f"{name}, batch {batch}, {size} px", **compared(rates, "modernet")}


def markdown(results: list[dict[str, Any]]) -> str:
    rows = [
        [result["what"], name, f"{rate:,.1f}", f"{result['ratio'][name]:.3f}" if name in result["ratio"] else ""]
        for result in results
        for name, rate in result["images_per_second"].items()
    ]
    return tabulate(rows, ["what", "by", "images/s", "ours to it"], "github", disable_numparse=True)


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
    results += [networks(name, device, rounds=rounds, **size) for name in NETWORKS]
    about = {
        "device": device_name(device),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
        "commit": record.commit(),
        "rounds": rounds,
        "results": results,
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{re.sub(r'[^A-Za-z0-9]+', '-', device_name(device))}.json"
    record.write_text(path, json.dumps(about, indent=1) + "\n")
    head = f"<!-- Made by `python scripts/benchmark.py`; {path.name} has the whole. -->\n\n"
    record.write_text(path.with_suffix(".md"), f"{head}{markdown(results)}\n")
    print(markdown(results), path, sep="\n\n")


if __name__ == "__main__":
    with one_line():
        main()
