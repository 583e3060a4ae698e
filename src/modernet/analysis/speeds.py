"""Measured speeds of the networks of a size, from the part `steps` of scripts/benchmark.py: GMACs are not speed."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from modernet.errors import UserError

BENCHMARKS = Path("results/benchmarks")


@dataclass(frozen=True)
class Speed:
    """One network on one device. Images/s are those of forward, backward and step, and of inference."""

    step: str
    size: str
    network: str  # its hash
    device: str  # as in records: cpu, or the GPU's product name
    threads: int  # of the CPU
    pixels: int
    batch: int
    gmacs: float  # of an image with these pixels
    train_images_per_second: float
    inference_images_per_second: float
    latency_ms: float  # of one image
    memory_mib_per_image: float | None  # at the peak of a training step; None where it was not measured

    @property
    def machine(self) -> str:
        """What speeds must have in common to be compared: `cpu` stands for many processors."""
        return f"{self.device}, {self.threads} threads"


def load_speeds(folder: Path = BENCHMARKS) -> list[Speed]:
    """The speeds in the JSON files of a folder, in the order of the files' names; none where there is no folder.

    Raises UserError for a file that scripts/benchmark.py did not write.
    """
    speeds: list[Speed] = []
    for path in sorted(folder.glob("*.json")):
        try:
            part = json.loads(path.read_text(encoding="utf-8"))["parts"].get("steps", {"about": {}, "rows": []})
            speeds += [_to_speed(part["about"] | row) for row in part["rows"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is no file of scripts/benchmark.py ({error!r}); remove it") from error
    return speeds


def _to_speed(values: dict[str, Any]) -> Speed:
    return Speed(**{field.name: values[field.name] for field in fields(Speed)})


def speeds_of_size(speeds: Iterable[Speed], size: str, device: str | None = None) -> dict[str, Speed]:
    """Step -> speed, of one machine: the first one with this size, or with this size and device."""
    matching = [speed for speed in speeds if speed.size == size and device in (None, speed.device)]
    return {speed.step: speed for speed in matching if speed.machine == matching[0].machine}
