"""Estimates of a sweep's duration before it starts: which runs are done, and how long the others take."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log2
from statistics import median

from modernet.analysis.speeds import Speed
from modernet.config.experiment import Experiment
from modernet.config.identity import network_hash
from modernet.config.schema import MIN_STEPS_TO_COMPILE, DataConfig, ExecutionConfig
from modernet.data.fingerprint import inspect_data, num_held_out
from modernet.errors import UserError
from modernet.record import Record
from modernet.sweeps.jobs import Job
from modernet.training.leftovers import steps_done

STARTUP_SECONDS = 5.0  # per run, besides training: Python, torch, the data set, the record
EVAL_COST = 1 / 3  # of an evaluated image relative to a trained one: the forward pass alone
MEASURED, BENCHMARK = "measured", "benchmark"  # sources of a speed: finished runs, scripts/benchmark.py
ASSUMED_GMACS = 2000.0  # GMACs/s of forward passes while training: a guess for a current GPU

WITHOUT_GPU = ("cpu", "mps")  # devices, as records name them, on which `auto` neither compiles nor computes in bf16

# Training and test images of data sets that may be absent on this machine.
IMAGES = {
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "imagenette": (9_469, 3_925),
    "imagewoof": (9_025, 3_929),
    "tiny_imagenet": (100_000, 10_000),
    "imagenet64": (1_281_167, 50_000),
    "imagenet": (1_281_167, 50_000),
}


def num_images(data: DataConfig) -> tuple[int, int]:
    """Numbers of trained and of evaluated images per epoch: from the files, the config, or the data set's name.

    Raises UserError where none of them gives the numbers.
    """
    try:
        facts = inspect_data(data)
        train, test = facts.train_images, facts.test_images
    except UserError:  # the files are absent here
        train, test = data.train_images, data.test_images
    if data.split == "train/test" and test is None:
        train = None  # one number without the other
    if train is None and data.name in IMAGES:
        train, test = IMAGES[data.name]
    if train is not None and data.split == "train/val":
        test = num_held_out(train)
        train -= test
    if train is None or test is None:
        raise UserError(
            f"the number of images of data={data.name} is unknown; set data.train_images=N and data.test_images=N, "
            f"or use one of: {', '.join(IMAGES)}"
        )
    return train, test


def planned_settings(execution: ExecutionConfig, device: str | None, steps: int) -> dict[str, str]:
    """`amp` and `compile` of a run of these steps on a device, if it has what `auto` asks for: bf16, a compiler."""
    on_gpu = device not in WITHOUT_GPU
    auto = {"amp": "bf16" if on_gpu else "off", "compile": "on" if on_gpu and steps >= MIN_STEPS_TO_COMPILE else "off"}
    chosen = {"amp": execution.amp, "compile": execution.compile}
    return {name: auto[name] if value == "auto" else value for name, value in chosen.items()}


@dataclass(frozen=True)
class Measurement:
    """The training speed of a network, from a finished record or from scripts/benchmark.py."""

    network: str  # its hash
    device: str
    threads: int | None  # of the CPU
    pixels: int
    images_per_second: float  # of one device
    gmacs: float  # of an image
    source: str
    settings: Mapping[str, str]  # its `amp` and `compile`, as `planned_settings`; empty where the record has neither

    @classmethod
    def from_record(cls, record: Record) -> "Measurement":
        """Of a finished run."""
        machine, config = record.machine, record.config
        rate = record.images_per_second / machine.get("devices", 1)
        network, pixels = network_hash(config["model"]), config["data"]["image_size"]
        settings = {name: machine[name] for name in ("amp", "compile") if name in machine}
        if "compile" in settings:
            settings["compile"] = "on" if settings["compile"] else "off"
        return cls(network, record.device, machine.get("threads"), pixels, rate, record.gmacs, MEASURED, settings)

    @classmethod
    def from_speed(cls, speed: Speed) -> "Measurement":
        """Of a benchmark, which compiles nothing."""
        rate = speed.train_images_per_second
        settings = {"amp": "off" if speed.device in WITHOUT_GPU else "bf16", "compile": "off"}
        return cls(speed.network, speed.device, speed.threads, speed.pixels, rate, speed.gmacs, BENCHMARK, settings)

    def origin(self, settings: Mapping[str, str]) -> str:
        """The source, with the settings that differ from these: `measured with compile=off`."""
        other = [f"{name}={value}" for name, value in self.settings.items() if settings[name] != value]
        return f"{self.source} with {', '.join(other)}" if other else self.source


def usual_device(records: Iterable[Record]) -> str | None:
    """The device of most finished runs; None without any."""
    names = [record.device for record in records if record.status == "done"]
    return max(names, key=names.count, default=None)


class Throughput:
    """Training speed of one kind of device, from finished records and benchmarks."""

    def __init__(
        self,
        records: Iterable[Record],
        speeds: Iterable[Speed],
        device: str | None,
        threads: int,
        assumed: float | None,
    ) -> None:
        """`device` None is one without measurements, with `assumed` GMACs/s.

        `threads` are the CPU threads of a run, to which measurements on a CPU are scaled.
        """
        done = [record for record in records if record.status == "done" and record.images_per_second > 0]
        self.device = device
        measurements = [*map(Measurement.from_record, done), *map(Measurement.from_speed, speeds)]
        self.measurements = [measurement for measurement in measurements if measurement.device == self.device]
        self.threads, self.assumed = threads, assumed or ASSUMED_GMACS

    def _per_device(self, measured: Measurement) -> float:
        """Images/s of one device, or of a CPU with the threads of a run."""
        scale = self.threads / measured.threads if self.device == "cpu" and measured.threads else 1.0
        return measured.images_per_second * scale

    def _gmacs_per_second(self, settings: Mapping[str, str]) -> dict[int, float]:
        """Image size in pixels -> median GMACs/s, with these settings where any was measured with them.

        Small images use a device less well.
        """
        same_settings = [one for one in self.measurements if one.origin(settings) == one.source]
        rates: dict[int, list[float]] = defaultdict(list)
        for measured in same_settings or self.measurements:
            rates[measured.pixels].append(self._per_device(measured) * measured.gmacs)
        return {size: median(values) for size, values in rates.items()}

    def images_per_second(self, experiment: Experiment, settings: Mapping[str, str]) -> tuple[float, str]:
        """Images/s of one device that trains this network with `planned_settings`, and where the number comes from."""
        network, size = network_hash(experiment.model), experiment.data.image_size
        rates: dict[str, list[float]] = defaultdict(list)
        for one in self.measurements:
            if one.pixels == size and one.network == network:
                rates[one.origin(settings)].append(self._per_device(one))
        if rates:  # the same settings before others, a whole run, which tells more, before a benchmark
            best = min(rates, key=lambda origin: (origin not in (MEASURED, BENCHMARK), not origin.startswith(MEASURED)))
            return median(rates[best]), best
        from modernet.models.flops import model_cost  # imports torch, which measured networks do not need

        gmacs = model_cost(experiment.model, size, experiment.data.num_classes or 1000).gmacs
        if gmacs_per_second := self._gmacs_per_second(settings):
            nearest = min(gmacs_per_second, key=lambda pixels: abs(log2(pixels / size)))
            rate = gmacs_per_second[nearest]
            images = "" if nearest == size else f" on images of {nearest} px"
            return rate / gmacs, f"GMACs, at {rate:.3g} GMACs/s of other networks{images}"
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
    steps = recipe.epochs * (train // recipe.batch_size)
    settings = planned_settings(job.execution, throughput.device, steps)
    rate, source = throughput.images_per_second(job.experiment, settings)
    done = steps_done(job.folder)
    fraction_done = done / steps if done else 0.0
    seconds = recipe.epochs * (train + test * EVAL_COST) / (rate * devices)
    status = f"{fraction_done:.0%} done" if fraction_done else "to do"
    return Estimate(job, status, STARTUP_SECONDS + seconds * (1 - fraction_done), source)
