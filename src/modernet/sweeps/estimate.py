"""Estimates of a sweep's duration before it starts: which runs are done, and how long the others take."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from modernet.config.experiment import Experiment
from modernet.config.identity import network_hash
from modernet.config.schema import DataConfig
from modernet.data.fingerprint import inspect_data
from modernet.errors import UserError
from modernet.record import Record
from modernet.sweeps.jobs import Job, devices_per_run

STARTUP_SECONDS = 5.0  # per run, besides training: Python, torch, the data set, the record
EVAL_COST = 1 / 3  # of an evaluated image relative to a trained one: the forward pass alone
MEASURED = "measured"
ASSUMED_GMACS = 2000.0  # GMACs/s of forward passes while training: a guess for a current GPU
HELD_OUT = 1 / 10  # of the training images, with data.split=train/val

# Training and test images of data sets that may be absent on this machine.
IMAGES = {
    "digits": (1_437, 360),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "imagenette": (9_469, 3_925),
    "imagenet": (1_281_167, 50_000),
}


@dataclass(frozen=True)
class Workers:
    """What a launcher runs at a time."""

    runs: int  # at the same time
    devices: int  # per run
    threads: int  # of the CPU, per run


def launcher_workers(launcher: Any) -> Workers:
    """The workers of the Hydra launcher with this config node, on this machine."""
    cores = os.cpu_count() or 1
    match launcher["_target_"].rpartition(".")[2]:
        case "JoblibLauncher":
            n_jobs = launcher["n_jobs"]
            runs = n_jobs if n_jobs > 0 else max(cores + 1 + n_jobs, 1)  # joblib counts from the end: -1 is all cores
            return Workers(runs, 1, max(cores // runs, 1))
        case "SlurmLauncher":
            threads = launcher["cpus_per_task"] or 1
            return Workers(launcher["array_parallelism"], devices_per_run(launcher), threads)
    return Workers(1, 1, cores)


def num_images(data: DataConfig) -> tuple[int, int]:
    """Numbers of trained and of evaluated images per epoch: from the files, the config, or the data set's name.

    Raises UserError where none of them gives the numbers.
    """
    try:
        facts = inspect_data(data)
        train, test = facts.train_images, facts.test_images
    except UserError:  # the files are absent here
        train, test = data.train_images, data.test_images
    if train is None or test is None:
        if data.name not in IMAGES:
            raise UserError(
                f"the number of images of data={data.name} is unknown; set data.train_images=N and data.test_images=N, "
                f"or use one of: {', '.join(IMAGES)}"
            )
        train, test = IMAGES[data.name]
    held_out = round(train * HELD_OUT)
    return (train, test) if data.split == "train/test" else (train - held_out, held_out)


class Throughput:
    """Training speed of one kind of device, from finished records."""

    def __init__(self, records: Iterable[Record], device: str | None, threads: int, assumed: float | None) -> None:
        """`device` None stands for the device of most records; `assumed` is the GMACs/s of one without records.

        `threads` are the CPU threads of a run, to which measurements on a CPU are scaled.
        """
        done = [record for record in records if record.status == "done" and record.images_per_second > 0]
        names = [record.device for record in done]
        self.device = device or max(names, key=names.count, default=None)
        self.records = [record for record in done if record.device == self.device]
        self.threads, self.assumed = threads, assumed or ASSUMED_GMACS

    def _per_device(self, record: Record) -> float:
        """Images/s of one device, or of a CPU with the threads of a run."""
        threads = record.machine.get("threads")
        scale = self.threads / threads if self.device == "cpu" and threads else 1.0
        return record.images_per_second * scale / record.machine.get("devices", 1)

    @cached_property
    def gmacs_per_second(self) -> dict[int, float]:
        """Image size in pixels -> median GMACs/s: small images use a device less well."""
        rates: dict[int, list[float]] = {}
        for record in self.records:
            rates.setdefault(record.config["data"]["image_size"], []).append(self._per_device(record) * record.gmacs)
        return {size: median(values) for size, values in rates.items()}

    def images_per_second(self, experiment: Experiment) -> tuple[float, str]:
        """Images/s of one device that trains this network, and where the number comes from."""
        network, size = network_hash(experiment.model), experiment.data.image_size
        same_network = [
            self._per_device(record)
            for record in self.records
            if record.config["data"]["image_size"] == size and network_hash(record.config["model"]) == network
        ]
        if same_network:
            return median(same_network), MEASURED
        from modernet.models.flops import model_cost  # imports torch, which measured networks do not need

        gmacs = model_cost(experiment.model, size, experiment.data.num_classes or 1000).gmacs
        if size in self.gmacs_per_second:
            rate = self.gmacs_per_second[size]
            return rate / gmacs, f"GMACs, at {rate:.3g} GMACs/s of other networks"
        return self.assumed / gmacs, f"GMACs, at an assumed {self.assumed:,.0f} GMACs/s"


@dataclass(frozen=True)
class Estimate:
    """One run of a sweep."""

    job: Job
    status: str  # done, failed, to do, or `50% done`
    seconds: float  # left
    source: str  # of the seconds; empty where nothing is left to do


def estimate_job(job: Job, throughput: Throughput, devices: int) -> Estimate:
    """The estimate of one run on this number of devices, as if they scaled without loss."""
    record = job.result()
    if record is not None:
        return Estimate(job, record.status, 0.0, "")
    recipe = job.experiment.recipe
    train, test = num_images(job.experiment.data)
    rate, source = throughput.images_per_second(job.experiment)
    fraction_done = 0.0
    if job.folder.is_dir():
        from modernet.training.checkpoint import steps_done  # imports torch

        fraction_done = steps_done(job.folder) / (recipe.epochs * (train // recipe.batch_size))
    seconds = recipe.epochs * (train + test * EVAL_COST) / (rate * devices)
    status = f"{fraction_done:.0%} done" if fraction_done else "to do"
    return Estimate(job, status, STARTUP_SECONDS + seconds * (1 - fraction_done), source)
