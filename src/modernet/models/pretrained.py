"""Weights of ResNet and ConvNeXt under the names of torchvision and of the authors' repository: in and out.

The names fit any number of classes, stem stride, depths and width. timm loads the authors' names by its own filter.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from modernet.config.roadmap import roadmap
from modernet.models.network import Network
from modernet.runtime.text import shorten

# Pattern of our parameter names -> function from its groups to the other name.
Rules = list[tuple[str, Callable[..., str]]]

RESNET: Rules = [
    (r"stem\.0\.(.+)", "conv1.{}".format),
    (r"stem\.1\.(.+)", "bn1.{}".format),
    (
        r"stages\.(\d)\.(\d+)\.residual\.conv(\d)\.(.+)",
        lambda s, b, i, p: f"layer{int(s) + 1}.{b}.conv{int(i) + 1}.{p}",
    ),
    (
        r"stages\.(\d)\.(\d+)\.residual\.norm(\d)\.(.+)",
        lambda s, b, i, p: f"layer{int(s) + 1}.{b}.bn{int(i) + 1}.{p}",
    ),
    (r"stages\.(\d)\.(\d+)\.shortcut\.(.+)", lambda s, b, p: f"layer{int(s) + 1}.{b}.downsample.{p}"),
    (r"classifier\.(.+)", "fc.{}".format),
]

TORCHVISION_INDEX = {"conv0": 0, "norm0": 2, "conv1": 3, "conv2": 5}  # in torchvision's block; permutations are between
CONVNEXT_TORCHVISION: Rules = [
    (r"stem\.(.+)", "features.0.{}".format),
    (r"stages\.(\d)\.downsample\.(.+)", lambda s, p: f"features.{2 * int(s)}.{p}"),
    (
        r"stages\.(\d)\.(\d+)\.residual\.scale\.gamma",
        lambda s, b: f"features.{2 * int(s) + 1}.{b}.layer_scale",
    ),
    (
        r"stages\.(\d)\.(\d+)\.residual\.(\w+)\.(.+)",
        lambda s, b, layer, p: f"features.{2 * int(s) + 1}.{b}.block.{TORCHVISION_INDEX[layer]}.{p}",
    ),
    (r"norm\.(.+)", "classifier.0.{}".format),
    (r"classifier\.(.+)", "classifier.2.{}".format),
]

AUTHORS_NAME = {"conv0": "dwconv", "norm0": "norm", "conv1": "pwconv1", "conv2": "pwconv2"}
CONVNEXT_AUTHORS: Rules = [
    (r"stem\.(.+)", "downsample_layers.0.{}".format),
    (r"stages\.(\d)\.downsample\.(.+)", "downsample_layers.{}.{}".format),
    (r"stages\.(\d)\.(\d+)\.residual\.scale\.gamma", "stages.{}.{}.gamma".format),
    (
        r"stages\.(\d)\.(\d+)\.residual\.(\w+)\.(.+)",
        lambda s, b, layer, p: f"stages.{s}.{b}.{AUTHORS_NAME[layer]}.{p}",
    ),
    (r"norm\.(.+)", "norm.{}".format),
    (r"classifier\.(.+)", "head.{}".format),
]

# The authors use torchvision's ResNet with its names.
RULES = {
    ("resnet", "torchvision"): RESNET,
    ("resnet", "authors"): RESNET,
    ("convnext", "torchvision"): CONVNEXT_TORCHVISION,
    ("convnext", "authors"): CONVNEXT_AUTHORS,
}
SOURCES = ("torchvision", "authors")
HEAD = ("classifier.weight", "classifier.bias")
ALIASES = {"official": "authors"}  # of modernet 0.1
FREE = ("depths", "width", "stem_stride", "layer_scale")  # fields that the other names do not depend on


def _family(model: Network) -> str:
    """`resnet` or `convnext`, of any depths, width and stem stride; raises ValueError for a network between them."""
    differences = {}
    for family, step in (("resnet", "resnet50"), ("convnext", "convnext")):
        published, ours = asdict(roadmap("t")[step]), asdict(model.config)
        fixed = [name for name in published if name not in FREE and published[name] != ours[name]]
        if bool(published["layer_scale"]) != bool(ours["layer_scale"]):  # the initial value is not part of the network
            fixed.append("layer_scale")
        if not fixed:
            return family
        differences[step] = ", ".join(f"{name}={ours[name]}" for name in fixed)
    raise ValueError(
        "only the two ends of the roadmap, ResNet and ConvNeXt, have counterparts elsewhere; this network differs from "
        + " and from ".join(f"{step} in {fields}" for step, fields in differences.items())
    )


def _names(model: Network, source: str) -> dict[str, str]:
    """Our parameter name -> the name in the source."""
    source = ALIASES.get(source, source)
    if source not in SOURCES:
        raise ValueError(f"source must be one of {', '.join(SOURCES)}, got {source!r}")
    rules = RULES[_family(model), source]

    def source_name(name: str) -> str:
        return next(rename(*match.groups()) for pattern, rename in rules if (match := re.fullmatch(pattern, name)))

    return {name: source_name(name) for name in model.state_dict()}


def _squeezed(shape: torch.Size) -> list[int]:
    """A linear layer (out, in) is a 1x1 convolution (out, in, 1, 1), and Layer Scale (C, 1, 1) a vector."""
    return [size for size in shape if size != 1]


def find_source(state_dict: Mapping[str, Any]) -> str | None:
    """`torchvision` or `authors`, by the names of a checkpoint; None for other names. ResNets have torchvision's."""
    first = {
        "conv1.weight": "torchvision",
        "features.0.0.weight": "torchvision",
        "downsample_layers.0.0.weight": "authors",
    }
    return next((source for name, source in first.items() if name in state_dict), None)


def convert_pretrained(
    model: Network, state_dict: Mapping[str, Any], source: str, any_classes: bool = False
) -> dict[str, Tensor]:
    """A checkpoint of `torchvision` or the paper's `authors` under our names, with the shapes of `model`.

    `any_classes` allows a classifier of another number of classes, which keeps its shape. Raises ValueError with the
    first names that are missing, unknown or of another shape.
    """
    if set(state_dict) == {"model"}:  # the authors' files wrap the weights
        state_dict = state_dict["model"]
    ours, names = model.state_dict(), _names(model, source)
    optional = {name for name in names if name.endswith("num_batches_tracked")}  # absent in older files
    missing = [
        source_name for name, source_name in names.items() if source_name not in state_dict and name not in optional
    ]
    unknown = sorted(set(state_dict) - set(names.values()))
    present = {name: state_dict[source_name] for name, source_name in names.items() if source_name in state_dict}
    misshapen = [
        f"{names[name]} {tuple(value.shape)} instead of {tuple(ours[name].shape)}"
        for name, value in present.items()
        if _squeezed(value.shape) != _squeezed(ours[name].shape) and not (any_classes and name in HEAD)
    ]
    found = (("missing", missing), ("unknown", unknown), ("of another shape", misshapen))
    if problems := [f"{problem}: {shorten(keys, 5)}" for problem, keys in found if keys]:
        raise ValueError(f"the checkpoint does not fit this network ({source} names); " + "; ".join(problems))
    return {name: value if name in HEAD else value.reshape(ours[name].shape) for name, value in present.items()}


@torch.no_grad()
def load_pretrained(model: Network, state_dict: Mapping[str, Any], source: str) -> None:
    """Copy a checkpoint of ResNet or ConvNeXt into `model`, from `torchvision` or the paper's `authors`.

    Raises ValueError with the first names that are missing, unknown or of another shape; then nothing is copied.
    """
    present, ours = convert_pretrained(model, state_dict, source), model.state_dict()
    for name, value in present.items():
        ours[name].copy_(value)


def export_pretrained(model: Network, source: str = "torchvision") -> dict[str, Tensor]:
    """The weights of a ResNet or ConvNeXt under the names and shapes of `torchvision` or the `authors`.

    Raises ValueError for a network between them.
    """
    convnext, torchvision = _family(model) == "convnext", ALIASES.get(source, source) == "torchvision"

    def shaped(name: str, value: Tensor) -> Tensor:
        if convnext and re.search(r"residual\.conv[12]\.weight", name):
            return value.flatten(1)  # (out, in, 1, 1) -> (out, in)
        return value[:, None, None] if name.endswith("gamma") and torchvision else value

    weights = model.state_dict()
    return {source_name: shaped(name, weights[name]).clone() for name, source_name in _names(model, source).items()}
