"""The numbers that the paper prints, read from paper.csv, which names their source."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from modernet.analysis.stats import Sample


@dataclass(frozen=True)
class PaperRow:
    """One row of the paper's Table 10 or 11. None where the paper prints nothing."""

    size: str
    step: str  # or a row of the kernel sweep, `move_up_depthwise+kernel_size=5`, or Swin as a reference
    top1: float | None  # ImageNet-1K, percent
    top1_std: float | None  # over seeds
    seeds: int | None
    gmacs_printed: float | None
    gmacs: float | None  # of the network that the row describes, to three decimals
    params: int | None
    note: str

    @property
    def sample(self) -> Sample | None:
        """The printed accuracy; None where the paper prints none."""
        return None if self.top1 is None or not self.seeds else Sample(self.seeds, self.top1, self.top1_std)


def _number(text: str) -> float | None:
    return float(text) if text else None


@cache
def paper_rows(size: str) -> dict[str, PaperRow]:
    """The paper's rows of a size by step, in the paper's order; empty for a size that is not in the paper."""
    text = Path(__file__).with_name("paper.csv").read_text(encoding="utf-8")
    lines = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        line["step"]: PaperRow(
            size=size,
            step=line["step"],
            top1=_number(line["top1"]),
            top1_std=_number(line["top1_std"]),
            seeds=int(line["seeds"]) if line["seeds"] else None,
            gmacs_printed=_number(line["gmacs_printed"]),
            gmacs=_number(line["gmacs"]),
            params=int(line["params"]) if line["params"] else None,
            note=line["note"],
        )
        for line in lines
        if line["size"] == size
    }


def reference_rows(size: str) -> dict[str, PaperRow]:
    """The paper's rows of a size; those of size `t` for a size that is not in the paper."""
    return paper_rows(size) or paper_rows("t")
