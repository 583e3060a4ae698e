"""Growth of the time and memory of ConvNeXt-T's training step with batch size, resolution and kernel size."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn, optim

from benchmarks.measuring import (
    Contestant,
    autocast_on,
    built_each_round,
    measure_in_turn,
    random_batch,
    step_memory,
    to_device,
    train_contestant,
)
from benchmarks.rows import Row, fields_of_rounds
from modernet import build_model, roadmap
from modernet.figures.style import OURS, PAGE, new_figure, styled
from modernet.figures.svg import save_figure

KERNEL_SIZES = (3, 5, 7, 11, 15, 21, 31)
LABELS = {"batch": "batch size", "pixels": "image size (pixels)", "kernel_size": "kernel size"}


def measure_growth(device: torch.device, batch: int, pixels: int, rounds: int) -> list[Row]:
    """Milliseconds and MiB per image, of one axis at a time; the others stay at `batch`, `pixels` and 7x7.

    All settings take turns. The one that all axes have in common is measured once.
    """
    start = {"batch": batch, "pixels": pixels, "kernel_size": 7}
    axes = {
        "batch": (batch // 4, batch // 2, batch, 2 * batch, 4 * batch),
        "pixels": (pixels // 2, 3 * pixels // 4, pixels, 3 * pixels // 2),
        "kernel_size": KERNEL_SIZES,
    }
    on_axis = {axis: [start | {axis: value} for value in values] for axis, values in axes.items()}
    settings = {str(setting): setting for row in on_axis.values() for setting in row}
    contestants = {
        name: built_each_round(partial(_train_contestant, setting, device)) for name, setting in settings.items()
    }
    rates = measure_in_turn(contestants, rounds)
    measured = {name: _row(setting, rates[name], device) for name, setting in settings.items()}
    return [{"axis": axis, **measured[str(setting)]} for axis, row in on_axis.items() for setting in row]


def _build(kernel_size: int) -> nn.Module:
    return build_model(replace(roadmap("t")["convnext"], kernel_size=kernel_size))


def _train_contestant(setting: dict[str, int], device: torch.device) -> Contestant:
    model = to_device(_build(setting["kernel_size"]), device)
    optimizer = optim.AdamW(model.parameters(), fused=True)
    data = random_batch(setting["batch"], setting["pixels"], device)
    return train_contestant(model, optimizer, data, autocast_on(device), 1)


def _row(setting: dict[str, int], rates: list[float], device: torch.device) -> Row:
    memory = step_memory(partial(_build, setting["kernel_size"]), setting["batch"], setting["pixels"], device)
    milliseconds = {"ms_per_image": [1000 / rate for rate in rates]}
    return {**setting, **fields_of_rounds(milliseconds), "memory_mib_per_image": memory}


def plot_growth(rows: list[Row], device: str, stem: Path) -> None:
    """One figure for each axis: STEM-batch, STEM-pixels, STEM-kernel_size."""
    for axis in LABELS:
        points = [row for row in rows if row["axis"] == axis]
        save_figure(_plot_axis(points, axis, device), stem.with_name(f"{stem.name}-{axis}"))


@styled
def _plot_axis(points: list[Row], axis: str, device: str) -> Figure:
    fixed = ", ".join(f"{label} {points[0][name]}" for name, label in LABELS.items() if name != axis)
    caption = f"ConvNeXt-T; forward, backward and step on {device}; {fixed}."
    figure = new_figure(PAGE, 2.6, f"Cost of training against {LABELS[axis]}", caption)
    units = {"ms_per_image": "ms per image", "memory_mib_per_image": "peak memory, MiB per image"}
    for axes, (field, unit) in zip(figure.subplots(1, 2), units.items(), strict=True):
        axes.plot([row[axis] for row in points], [row[field] for row in points], **OURS)
        axes.set(xlabel=LABELS[axis], ylabel=unit, xticks=[row[axis] for row in points], ylim=(0, None))
        axes.grid(axis="y")
    return figure
