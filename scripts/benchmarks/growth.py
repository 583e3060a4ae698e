"""Growth of the time and memory of ConvNeXt-T's training step with batch size, resolution and kernel size."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import optim

from benchmarks.measuring import (
    autocast_on,
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
    """Milliseconds and MiB per image, of one axis at a time; the others stay at `batch`, `pixels` and 7x7."""
    start = {"batch": batch, "pixels": pixels, "kernel_size": 7}
    axes = {
        "batch": (batch // 4, batch // 2, batch, 2 * batch, 4 * batch),
        "pixels": (pixels // 2, 3 * pixels // 4, pixels, 3 * pixels // 2),
        "kernel_size": KERNEL_SIZES,
    }
    return [
        {"axis": axis, **_measure_setting(start | {axis: value}, device, rounds)}
        for axis, values in axes.items()
        for value in values
    ]


def _measure_setting(setting: dict[str, int], device: torch.device, rounds: int) -> Row:
    build = partial(build_model, replace(roadmap("t")["convnext"], kernel_size=setting["kernel_size"]))
    model = to_device(build(), device)
    optimizer = optim.AdamW(model.parameters(), fused=True)
    data = random_batch(setting["batch"], setting["pixels"], device)
    train = train_contestant(model, optimizer, data, autocast_on(device), 1)
    (rates,) = measure_in_turn({"train": train}, rounds).values()
    memory = step_memory(build, setting["batch"], setting["pixels"], device)
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
