"""The networks: the ends against torchvision's and timm's, and every step at every size."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import timm
import torch
import torchvision
from torch import nn, optim

from benchmarks.measuring import (
    Contestant,
    autocast_on,
    built_each_round,
    inference_contestant,
    measure_in_turn,
    random_batch,
    step_memory,
    to_device,
    train_contestant,
)
from benchmarks.rows import Row, compare, fields_of_rounds
from modernet import build_model, model_cost, roadmap
from modernet.config.identity import network_hash

# Size -> step -> the same network by others; grn is ConvNeXt V2.
ENDS: dict[str, dict[str, dict[str, Callable[[], nn.Module]]]] = {
    "t": {
        "resnet50": {"torchvision": torchvision.models.resnet50, "timm": partial(timm.create_model, "resnet50")},
        "convnext": {
            "torchvision": partial(torchvision.models.convnext_tiny, stochastic_depth_prob=0.0),
            "timm": partial(timm.create_model, "convnext_tiny"),
        },
        "grn": {"timm": partial(timm.create_model, "convnextv2_tiny")},
    },
    "b": {
        "resnet200": {"timm": partial(timm.create_model, "resnet200")},
        "convnext": {
            "torchvision": partial(torchvision.models.convnext_base, stochastic_depth_prob=0.0),
            "timm": partial(timm.create_model, "convnext_base"),
        },
        "grn": {"timm": partial(timm.create_model, "convnextv2_base")},
    },
}
CONTROL = "modernet again"
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
    """Training, inference and memory of a step beside the same network of other libraries.

    "modernet again" is the same network once more: how far its ratio is from 1 is the error of the others.
    """
    data = random_batch(batch, pixels, device)

    def training(make: Callable[[], nn.Module]) -> Contestant:
        model = to_device(make(), device)
        return train_contestant(model, optim.AdamW(model.parameters(), fused=True), data, autocast_on(device), steps)

    def inference(make: Callable[[], nn.Module]) -> Contestant:
        return inference_contestant(to_device(make(), device), data[0], 3 * steps)

    ours = partial(build_model, roadmap(size)[step])
    makers: dict[str, Callable[[], nn.Module]] = {"modernet": ours, CONTROL: ours, **libraries}
    train = {library: built_each_round(partial(training, make)) for library, make in makers.items()}
    infer = {library: built_each_round(partial(inference, make)) for library, make in makers.items()}
    memory = {library: step_memory(make, batch, pixels, device) for library, make in makers.items()}
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


def measure_steps(size: str, device: torch.device, batch: int, pixels: int, rounds: int) -> list[Row]:
    """Costs that FLOPs do not tell: images/s of training and inference, latency of one image, memory per image.

    All networks take turns in every round, so that they can be compared; steps with the same network have its row. The
    optimizer is SGD, whose state does not limit the number of networks in memory.
    """
    configs = {step: replace(model, stem_stride=SIZES[size]) for step, model in roadmap(size).items()}
    networks = {network_hash(config): config for config in configs.values()}
    builders = {name: partial(build_model, config) for name, config in networks.items()}
    memory = {name: step_memory(build, batch, pixels, device) for name, build in builders.items()}
    images, labels = random_batch(batch, pixels, device)
    contestants: dict[str, Contestant] = {}
    for name, build in builders.items():
        model = to_device(build(), device)
        optimizer = optim.SGD(model.parameters(), lr=1e-3, fused=True)
        contestants[f"{name} train"] = train_contestant(model, optimizer, (images, labels), autocast_on(device), 1)
        contestants[f"{name} inference"] = inference_contestant(model, images, 1)
        contestants[f"{name} one image"] = inference_contestant(model, images[:1], 5)
    rates = measure_in_turn(contestants, rounds)
    rows = {
        name: {
            "size": size,
            "network": name,
            "pixels": pixels,
            "batch": batch,
            "gmacs": model_cost(config, pixels).gmacs,
            **fields_of_rounds(
                {
                    "train_images_per_second": rates[f"{name} train"],
                    "inference_images_per_second": rates[f"{name} inference"],
                    "latency_ms": [1000 / rate for rate in rates[f"{name} one image"]],
                }
            ),
            "memory_mib_per_image": memory[name],
        }
        for name, config in networks.items()
    }
    return [{"step": step, **rows[network_hash(config)]} for step, config in configs.items()]
