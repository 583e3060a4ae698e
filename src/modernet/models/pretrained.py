"""Weights for both ends of the roadmap from torchvision's or the authors' checkpoints, and back to torchvision."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from modernet.models.network import Network
from modernet.config.roadmap import roadmap

# Our name, as a pattern, and theirs from its groups.
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

PLACES = {"conv0": 0, "norm0": 2, "conv1": 3, "conv2": 5}  # in torchvision's block, permutations between them
CONVNEXT_TORCHVISION: Rules = [
    (r"stem\.(.+)", "features.0.{}".format),
    (r"stages\.(\d)\.downsample\.(.+)", lambda s, p: f"features.{2 * int(s)}.{p}"),
    (
        r"stages\.(\d)\.(\d+)\.residual\.scale\.gamma",
        lambda s, b: f"features.{2 * int(s) + 1}.{b}.layer_scale",
    ),
    (
        r"stages\.(\d)\.(\d+)\.residual\.(\w+)\.(.+)",
        lambda s, b, layer, p: f"features.{2 * int(s) + 1}.{b}.block.{PLACES[layer]}.{p}",
    ),
    (r"norm\.(.+)", "classifier.0.{}".format),
    (r"classifier\.(.+)", "classifier.2.{}".format),
]

LAYERS = {"conv0": "dwconv", "norm0": "norm", "conv1": "pwconv1", "conv2": "pwconv2"}
CONVNEXT_OFFICIAL: Rules = [
    (r"stem\.(.+)", "downsample_layers.0.{}".format),
    (r"stages\.(\d)\.downsample\.(.+)", "downsample_layers.{}.{}".format),
    (r"stages\.(\d)\.(\d+)\.residual\.scale\.gamma", "stages.{}.{}.gamma".format),
    (
        r"stages\.(\d)\.(\d+)\.residual\.(\w+)\.(.+)",
        lambda s, b, layer, p: f"stages.{s}.{b}.{LAYERS[layer]}.{p}",
    ),
    (r"norm\.(.+)", "norm.{}".format),
    (r"classifier\.(.+)", "head.{}".format),
]

# The authors took ResNet as torchvision has it, names and all.
RULES = {
    ("resnet", "torchvision"): RESNET,
    ("resnet", "official"): RESNET,
    ("convnext", "torchvision"): CONVNEXT_TORCHVISION,
    ("convnext", "official"): CONVNEXT_OFFICIAL,
}
SOURCES = ("torchvision", "official")


def _end(model: Network) -> str:
    """`resnet` or `convnext`, of whatever depths and width; raises ValueError for what lies between."""
    spec, steps = model.spec, roadmap("t")
    for end, step in (("resnet", "resnet50"), ("convnext", "convnext")):
        published = steps[step]
        scale = published.layer_scale if spec.layer_scale else 0.0  # its initial value is not part of the network
        if replace(spec, depths=published.depths, width=published.width, layer_scale=scale) == published:
            return end
    raise ValueError(f"only the two ends of the roadmap, ResNet and ConvNeXt, have published weights; this is {spec}")


def _names(model: Network, source: str) -> dict[str, str]:
    """Our names -> theirs."""
    if source not in SOURCES:
        raise ValueError(f"source must be one of {', '.join(SOURCES)}, got {source!r}")
    rules = RULES[_end(model), source]

    def theirs(name: str) -> str:
        return next(rename(*match.groups()) for pattern, rename in rules if (match := re.fullmatch(pattern, name)))

    return {name: theirs(name) for name in model.state_dict()}


def _first(keys: list[str]) -> str:
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")


def _bare(shape: torch.Size) -> list[int]:
    """A linear layer (out, in) is a 1x1 convolution (out, in, 1, 1), and Layer Scale (C, 1, 1) a vector."""
    return [size for size in shape if size != 1]


@torch.no_grad()
def load(model: Network, state_dict: Mapping[str, Any], source: str) -> None:
    """Copy a checkpoint of ResNet or ConvNeXt into `model`, from `torchvision` or the paper's `official` repository.

    Where it does not fit, raises ValueError with the first keys that are missing, unknown or of another shape, and
    copies nothing.
    """
    if set(state_dict) == {"model"}:  # as the official files are wrapped
        state_dict = state_dict["model"]
    ours, names = model.state_dict(), _names(model, source)
    optional = {name for name in names if name.endswith("num_batches_tracked")}  # older files lack them
    missing = [theirs for name, theirs in names.items() if theirs not in state_dict and name not in optional]
    unknown = sorted(set(state_dict) - set(names.values()))
    present = {name: state_dict[theirs] for name, theirs in names.items() if theirs in state_dict}
    misshapen = [
        f"{names[name]} {tuple(value.shape)} instead of {tuple(ours[name].shape)}"
        for name, value in present.items()
        if _bare(value.shape) != _bare(ours[name].shape)
    ]
    found = (("missing", missing), ("unknown", unknown), ("of another shape", misshapen))
    if problems := [f"{what}: {_first(keys)}" for what, keys in found if keys]:
        raise ValueError(f"the checkpoint does not fit this network ({source} names); " + "; ".join(problems))
    for name, value in present.items():
        ours[name].copy_(value.reshape(ours[name].shape))


def export(model: Network) -> dict[str, Tensor]:
    """The weights of a ResNet or ConvNeXt by torchvision's names, in its shapes; else raises ValueError."""
    convnext = _end(model) == "convnext"

    def shaped(name: str, value: Tensor) -> Tensor:
        if convnext and re.search(r"residual\.conv[12]\.weight", name):
            return value.flatten(1)  # (out, in, 1, 1) -> (out, in)
        return value[:, None, None] if name.endswith("gamma") else value

    weights = model.state_dict()
    return {theirs: shaped(name, weights[name]).clone() for name, theirs in _names(model, "torchvision").items()}
