"""The numbers of the paper, from paper.csv, which names their source."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One row of the paper's Table 10 or 11. None where the paper prints nothing."""

    size: str
    step: str  # or a side row of the kernel sweep, `move_up_depthwise+kernel_size=5`, or Swin for reference
    top1: float | None  # ImageNet-1K, percent
    top1_std: float | None  # over seeds
    seeds: int | None
    gmacs_printed: float | None
    gmacs: float | None  # of the network that the row names, to three decimals
    params: int | None
    note: str


@cache
def rows(size: str) -> dict[str, Row]:
    """The paper's rows of a size by step, in the paper's order; empty for a size the paper does not have."""
    with (Path(__file__).with_name("paper.csv")).open() as file:
        lines = csv.DictReader(line for line in file if not line.startswith("#"))

        def number(text: str) -> float | None:
            return float(text) if text else None

        return {
            line["step"]: Row(
                size=size,
                step=line["step"],
                top1=number(line["top1"]),
                top1_std=number(line["top1_std"]),
                seeds=int(line["seeds"]) if line["seeds"] else None,
                gmacs_printed=number(line["gmacs_printed"]),
                gmacs=number(line["gmacs"]),
                params=int(line["params"]) if line["params"] else None,
                note=line["note"],
            )
            for line in lines
            if line["size"] == size
        }


def reference(size: str) -> dict[str, Row]:
    """The paper's rows of a size; for a size of our own, which walks the same steps, those of size `t`."""
    return rows(size) or rows("t")
