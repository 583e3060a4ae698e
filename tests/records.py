"""Records for tests of everything that reads records: tables, figures, reports."""

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from helpers import MAIN_PATH

from modernet.analysis.row import split_variant
from modernet.analysis.table import Row, build_rows
from modernet.config.identity import to_plain
from modernet.config.roadmap import roadmap, sizes
from modernet.metrics import METRICS
from modernet.record import Epoch, Record, write_record
from modernet.runtime.file_names import METRICS_FILE

KERNEL_SIZES = ["move_up_depthwise", *(f"move_up_depthwise+kernel_size={size}" for size in (5, 9, 11)), "kernel_size"]


def make_epoch(number: int, **changes) -> Epoch:
    """Metrics of an epoch."""
    rates = {"lr": 1e-3, "train_seconds": 1.0, "images_per_second": 900.0}
    scores = {"train_loss": 1.0, "train_top1": 50.0, "val_loss": 1.0, "top1": 60.0, "top5": 90.0, "top1_ema": None}
    return Epoch(**{"epoch": number, **rates, **scores, **changes})


def _values(changes: Iterable[str], prefix: str = "") -> dict[str, str | int]:
    """kernel_size=5 -> {kernel_size: 5}, of the fields with this prefix."""
    pairs = (change.removeprefix(prefix).partition("=") for change in changes if change.startswith(prefix))
    return {name: int(value) if value.isdigit() else value for name, _, value in pairs}


def network(variant: str, size: str = "micro") -> dict[str, Any]:
    """The network of a variant; that of an unknown step has its name as activation."""
    step, changes, _ = split_variant(variant)
    known = roadmap(size) if size in sizes() else {}
    model = to_plain(asdict(known[step])) if step in known else {"act": step}
    return model | _values(changes)


def make_record(step: str, top1: float | None, seed: int = 0, variant: str | None = None, **changes) -> Record:
    """A finished run of size micro on the digits with this result; the variant names what differs from the step."""
    others = split_variant(variant or step)[2].split("+")
    recipe = {"weight_decay": 5e-5} if step == MAIN_PATH[0] else {}
    record = Record(
        step=step,
        variant=variant or step,
        protocol="digits",
        size="micro",
        seed=seed,
        data="digits",
        recipe="classic" if recipe else "modern",
        params=500_000,
        gmacs=0.0123,
        top1=top1,
        top5=99.0,
        val_loss=0.5,
        epochs=2,
        train_seconds=3.0,
        images_per_second=900.0 + 10 * seed**2,
        device="cpu",
        torch="2.15.0",
        commit=None,
        status="done",
        config={"seed": seed, "recipe": recipe | _values(others, "recipe."), "data": _values(others, "data.")},
    )
    record = replace(record, **changes)
    sections = {
        "seed": seed,
        "model": network(record.variant, record.size),
        "recipe": {},
        "data": {},
    }  # no record lacks one
    return replace(record, config=sections | record.config)


def write_study(folder: Path, records: Iterable[Record]) -> Path:
    """Write each record with a learning curve of two epochs to a separate folder below `folder`; returns `folder`."""
    for number, record in enumerate(records):
        run = folder / f"{record.variant.split('+')[0]}-{number}"
        run.mkdir(parents=True)
        write_record(run, record)
        top1 = record.top1 or 0
        epochs = [{"epoch": epoch, "top1": top1 - 2 + epoch, "val_loss": 1 / epoch} for epoch in (1, 2)]
        (run / METRICS_FILE).write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
    return folder


def write_runs(folder: Path, *records: Record) -> list[Path]:
    """Write each record alone to a separate folder below `folder`, named by its index; returns the paths."""
    paths = []
    for number, record in enumerate(records):
        (folder / str(number)).mkdir(parents=True)
        paths.append(write_record(folder / str(number), record))
    return paths


MARKUP = "gelu+act=</script><script>alert(1)</script>&\"'><img src=x onerror=alert(1)>"  # as the name of a variant


def large_study() -> list[Record]:
    """All steps and three variants with three seeds each, 54 runs.

    The second step is 3 points above the first and the last one 3 below its previous step; all other differences
    between steps are smaller than the noise.
    """
    variants = [*MAIN_PATH, "move_up_depthwise+kernel_size=5", "move_up_depthwise+kernel_size=11", MARKUP]
    level = dict.fromkeys(variants, 70.0) | {"resnet50": 67.0, "convnext": 67.0}
    config = {"recipe": {"name": "modern", "epochs": 2, "lr": 0.01}, "data": {"split": "val"}}
    return [
        make_record(
            variant.split("+")[0],
            level[variant] + 0.1 * seed + 0.03 * number,
            seed,
            variant,
            gmacs=0.005 + 0.001 * (number * 7 % 5),
            config={"seed": seed, "name": variant, **config},
            commit="abc123def456",
            machine={"devices": 1, "amp": "off"},
            metrics={METRICS[0].name: 123.5},
        )
        for number, variant in enumerate(variants)
        for seed in range(3)
    ]


@cache
def noisy_rows(variants: tuple[str, ...], seeds: int = 3) -> list[Row]:
    """Rows of these variants with different accuracies, standard deviations and costs."""
    rng = np.random.default_rng(0)
    records = []
    for number, variant in enumerate(dict.fromkeys(variants)):
        level, gmacs = 60 - number + rng.normal(), 0.005 + 0.001 * (number * 7 % 5)
        for seed in range(seeds):
            top1 = level + rng.normal() / 3
            records.append(make_record(variant.split("+")[0], top1, seed, variant, gmacs=gmacs))
    return build_rows(records)


# Three seeds of three steps, two steps without noise, kernel sizes, changed recipes, another protocol.
TABLE_RECORDS = [
    *(make_record("resnet50", top1, seed) for seed, top1 in enumerate((88.0, 89.0, 90.5))),
    *(make_record("modern_recipe", top1, seed) for seed, top1 in enumerate((90.0, 91.0, 92.0))),
    *(make_record("stage_ratio", top1, seed) for seed, top1 in enumerate((92.0, 93.0, 94.5))),
    *(make_record(step, 95.0, seed) for step in ("patchify_stem", "depthwise_conv") for seed in (0, 1)),  # no std
    make_record("move_up_depthwise", 80.0),
    *(
        make_record("move_up_depthwise", 80.0 + kernel, variant=f"move_up_depthwise+kernel_size={kernel}")
        for kernel in (11, 5, 9)
    ),
    make_record("gelu", 70.0, variant="gelu+recipe.epochs=3"),
    make_record("kernel_size", 71.0, variant="kernel_size+recipe.epochs=3"),
    make_record("gelu", 60.0, protocol="cifar10_micro", data="cifar10"),
]
