"""The networks: the ends against torchvision's and timm's, and every step at every size."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import timm
import torch
import torchvision
from torch import nn, optim

from benchmarks.measuring import (
    Row,
    autocast_on,
    compare,
    inference_contestant,
    measure_in_turn,
    random_batch,
    step_memory,
    to_device,
    train_contestant,
)
from modernet import build_model, model_cost, roadmap
from modernet.config.identity import network_hash

# Size -> step -> the same network by others.
ENDS: dict[str, dict[str, dict[str, Callable[[], nn.Module]]]] = {
    "t": {
        "resnet50": {"torchvision": torchvision.models.resnet50, "timm": partial(timm.create_model, "resnet50")},
        "convnext": {
            "torchvision": partial(torchvision.models.convnext_tiny, stochastic_depth_prob=0.0),
            "timm": partial(timm.create_model, "convnext_tiny"),
        },
    },
    "b": {
        "resnet200": {"timm": partial(timm.create_model, "resnet200")},
        "convnext": {
            "torchvision": partial(torchvision.models.convnext_base, stochastic_depth_prob=0.0),
            "timm": partial(timm.create_model, "convnext_base"),
        },
    },
}
SIZES = {"t": 4, "b": 4, "micro": 2}  # the stem's stride: as at 224 pixels, and as on CIFAR-10


def compare_ends(
    step: str,
    size: str,
    libraries: dict[str, Callable[[], nn.Module]],
    device: torch.device,
    batch: int,
    pixels: int,
    steps: int,
    rounds: int,
) -> list[Row]:
    """Training, inference and memory of a step beside the same network of other libraries."""
    data = random_batch(batch, pixels, device)
    train, infer, memory = {}, {}, {}
    for library, make in {"modernet": partial(build_model, roadmap(size)[step]), **libraries}.items():
        model = to_device(make(), device)
        optimizer = optim.AdamW(model.parameters(), fused=True)
        memory[library] = step_memory(make, batch, pixels, device)
        train[library] = train_contestant(model, optimizer, data, autocast_on(device), steps)
        infer[library] = inference_contestant(model, data[0], 3 * steps)
    what = f"{step}, size {size}, batch {batch}, {pixels} px"
    rows = [
        compare(f"training, {what}", "images/s", measure_in_turn(train, rounds), "modernet"),
        compare(f"inference, {what}", "images/s", measure_in_turn(infer, rounds), "modernet"),
    ]
    if all(memory.values()):
        # Less memory is better, so that a rate of images per GiB compares as the others do.
        per_gib = {library: [1024 / used] for library, used in memory.items() if used}
        rows.append(compare(f"training memory, {what}", "images/GiB", per_gib, "modernet"))
    return rows


def measure_step(step: str, size: str, device: torch.device, batch: int, pixels: int, rounds: int) -> dict[str, Any]:
    """Costs that FLOPs do not tell: images/s of training and inference, latency of one image, memory per image."""
    model_config = replace(roadmap(size)[step], stem_stride=SIZES[size])
    model = to_device(build_model(model_config), device)
    optimizer = optim.AdamW(model.parameters(), fused=True)
    data = random_batch(batch, pixels, device)
    memory = step_memory(partial(build_model, model_config), batch, pixels, device)
    contestants = {
        "train": train_contestant(model, optimizer, data, autocast_on(device), 1),
        "inference": inference_contestant(model, data[0], 1),
        "one image": inference_contestant(model, data[0][:1], 5),
    }
    row = compare(f"{step}, size {size}", "images/s", measure_in_turn(contestants, rounds), "train")
    rates = {name: values["median"] for name, values in row["rates"].items()}
    return {
        "step": step,
        "size": size,
        "network": network_hash(model_config),
        "pixels": pixels,
        "batch": batch,
        "gmacs": model_cost(model_config, pixels).gmacs,
        "train_images_per_second": rates["train"],
        "inference_images_per_second": rates["inference"],
        "latency_ms": 1000 / rates["one image"],
        "memory_mib_per_image": memory,
    }


def measure_steps(size: str, device: torch.device, batch: int, pixels: int, rounds: int) -> list[dict[str, Any]]:
    """`measure_step` of every step of a size; steps with the same network are measured once."""
    rows: dict[str, dict[str, Any]] = {}  # hash of the network -> its row
    for step, model in roadmap(size).items():
        network = network_hash(model)
        rows[network] = rows[network] if network in rows else measure_step(step, size, device, batch, pixels, rounds)
    return [rows[network_hash(model)] | {"step": step} for step, model in roadmap(size).items()]
