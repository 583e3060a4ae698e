"""What a sweep will take, before it starts: its runs, which of them are done, and the time of the others."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from modernet import record
from modernet.errors import UserError
from modernet.config.experiment import Experiment
from modernet.record import Record
from modernet.config.schema import DataConfig
from modernet.sweeps.sweep import Job

START = 5.0  # seconds a run takes besides: Python, torch, the data set, the record
EVALUATION = 1 / 3  # of the time that an image takes in training: its forward pass alone
MEASURED = "measured"
ASSUMED = 2000.0  # GMACs/s of a device, of the forward pass, while it trains: a guess for a GPU of these years

# Train and test images of the data sets whose configs leave it to their files.
IMAGES = {
    "digits": (1_437, 360),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "imagenette": (9_469, 3_925),
    "imagenet": (1_281_167, 50_000),
}


@dataclass(frozen=True)
class Workers:
    """How a launcher does the work: so many runs at once, each on so many devices, or on so many threads of a CPU."""

    runs: int
    devices: int
    threads: int


def workers(launcher: Any) -> Workers:
    """Of Hydra's launcher with this config node, on this machine."""
    cores = os.cpu_count() or 1
    match launcher["_target_"].rpartition(".")[2]:
        case "JoblibLauncher":
            n = launcher["n_jobs"]
            runs = n if n > 0 else max(cores + 1 + n, 1)  # joblib counts from the end: -1 is all cores
            return Workers(runs, 1, max(cores // runs, 1))
        case "SlurmLauncher":
            tasks = launcher["nodes"] * launcher["tasks_per_node"]
            return Workers(launcher["array_parallelism"], tasks, launcher["cpus_per_task"] or 1)
    return Workers(1, 1, cores)


def images(data: DataConfig) -> tuple[int, int]:
    """How many there are to train on and to evaluate. Raises UserError where neither config nor name tells."""
    train, test = data.train_images, data.test_images
    if train is None or test is None:
        if data.name not in IMAGES:
            raise UserError(
                f"nothing says how many images data={data.name} has: data.train_images=N and data.test_images=N would; "
                f"known: {', '.join(IMAGES)}"
            )
        train, test = IMAGES[data.name]
    held_out = round(train / 10)
    return (train, test) if data.split == "train/test" else (train - held_out, held_out)


class Speeds:
    """What finished records say of the speed of one kind of device."""

    def __init__(self, records: Iterable[Record], device: str | None, threads: int, assumed: float | None) -> None:
        """`device` None: that of the most records. `assumed`: GMACs/s where nothing was measured."""
        done = [found for found in records if found.status == "done" and found.images_per_second > 0]
        names = [found.device for found in done]
        self.device = device or max(names, key=names.count, default=None)
        self.records = [found for found in done if found.device == self.device]
        self.threads, self.assumed = threads, assumed or ASSUMED

    def _rate(self, found: Record) -> float:
        """Images/s of one device; of a CPU, of the threads that a run will have."""
        used = found.machine.get("threads")
        share = self.threads / used if self.device == "cpu" and used else 1.0
        return found.images_per_second * share / found.machine.get("devices", 1)

    @cached_property
    def macs(self) -> dict[int, float]:
        """GMACs/s by image size: small images keep a device less busy."""
        sizes: dict[int, list[float]] = {}
        for found in self.records:
            sizes.setdefault(found.config["data"]["image_size"], []).append(self._rate(found) * found.gmacs)
        return {size: median(rates) for size, rates in sizes.items()}

    def of(self, run: Experiment) -> tuple[float, str]:
        """Images/s of one device training this network, and how that is known."""
        model, size = run.config["model"], run.data.image_size
        same = [
            self._rate(found)
            for found in self.records
            if found.config["model"] == model and found.config["data"]["image_size"] == size
        ]
        if same:
            return median(same), MEASURED
        from modernet.models.flops import cost  # and with it torch: what was measured needs neither

        gmacs = cost(run.model, size, run.data.num_classes).gmacs
        if size in self.macs:
            return self.macs[size] / gmacs, f"GMACs, at {self.macs[size]:.3g} GMACs/s of other networks"
        return self.assumed / gmacs, f"GMACs, at {self.assumed:,.0f} GMACs/s, which nothing measured"


@dataclass(frozen=True)
class Estimate:
    """One run of a sweep."""

    job: Job
    status: str  # done, failed, to do, or how much of it is done
    seconds: float  # what is left of it
    source: str  # how that is known; empty where nothing is left


def estimate(job: Job, speeds: Speeds, devices: int) -> Estimate:
    """Of one run, on so many devices that scale without loss."""
    found = job.record()
    if found and job.over:
        return Estimate(job, found.status, 0.0, "")
    recipe = job.run.recipe
    train, test = images(job.run.data)
    rate, source = speeds.of(job.run)
    done = 0.0
    if job.folder.is_dir():
        from modernet import checkpoint  # and with it torch

        done = checkpoint.steps_done(job.folder) / (recipe.epochs * (train // recipe.batch_size))
    whole = recipe.epochs * (train + test * EVALUATION) / (rate * devices)
    return Estimate(job, f"{done:.0%} done" if done else "to do", START + whole * (1 - done), source)


def records_below(folders: Iterable[Path]) -> list[Record]:
    """Those that can be read; a table says what is wrong with the others."""
    result = []
    for folder in folders:
        for path in record.paths(folder):
            try:
                result.append(record.read(path))
            except ValueError:
                continue
    return result
