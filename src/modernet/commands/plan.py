"""List the runs of a sweep and estimate their duration, without training anything.

modernet plan +study=roadmap seed=0,1,2 protocol=imagenet [hydra/launcher=slurm]     # overrides as for train.py -m

The durations follow from the images/s of finished records, those in the folder of runs and in --records FOLDER, or from
scripts/benchmark.py's in results/benchmarks/, with the sweep's amp and compile where they were measured with them; the
source names what differs. For a network without either they follow from its GMACs, at the speed of other networks on
images of that size or the nearest, or else at an assumed --speed.
"""

import argparse
import sys
from heapq import heapreplace
from pathlib import Path

import hydra
from tabulate import tabulate

from modernet.analysis.formatting import count_noun
from modernet.analysis.speeds import load_speeds
from modernet.cli import exit_on_error
from modernet.config import studies
from modernet.config.experiment import Experiment, initialize_hydra
from modernet.config.roadmap import roadmap
from modernet.config.search_path import add_config_dir
from modernet.data.fingerprint import resolve_data
from modernet.errors import MissingData, UserError
from modernet.record import Record, load_records
from modernet.runtime.text import format_duration
from modernet.sweeps.estimate import (
    ASSUMED_GMACS,
    BENCHMARK,
    MEASURED,
    Estimate,
    Throughput,
    estimate_job,
    usual_device,
)
from modernet.sweeps.jobs import Job, devices_per_run, expand, launcher_kind, parse_overrides
from modernet.sweeps.workers import Workers, launcher_workers


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="the arguments of train.py -m")
    parser.add_argument("-m", "--multirun", action="store_true", help="accepted as for train.py; has no effect")
    parser.add_argument("--records", type=Path, action="append", default=[], help="another folder of records")
    parser.add_argument(
        "--device", help="the device as records name it; that of most records, or of this machine, by default"
    )
    parser.add_argument(
        "--speed", type=float, help=f"GMACs/s of a device without records; {ASSUMED_GMACS:,.0f} by default"
    )
    parser.add_argument("--config-dir", metavar="DIR", type=add_config_dir, help="a folder of configs of yours")
    arguments = parser.parse_intermixed_args()
    if arguments.speed is not None and not arguments.speed > 0:
        raise UserError(f"--speed must be a number of GMACs/s above 0, got {arguments.speed}")
    for folder in arguments.records:
        if not folder.is_dir():
            raise UserError(f"--records must be a folder of records; there is no folder {folder}")
    return arguments


def _compose_jobs(words: list[str]) -> tuple[list[Job], Workers, str | None]:
    """The runs of a sweep in roadmap order, the workers of its launcher, and its `device`; None on Slurm's nodes."""
    missing: dict[str, str] = {}  # name of a data set -> why its files are not on this machine

    def resolve(experiment: Experiment) -> Experiment:
        try:
            return resolve_data(experiment)
        except MissingData as error:
            missing[experiment.data.name] = str(error)
            return experiment

    studies.register()
    with initialize_hydra():
        overrides = parse_overrides(words)
        fixed = [str(override.input_line) for override in overrides if not override.is_sweep_override()]
        config = hydra.compose("config", fixed, return_hydra_config=True)
        arguments = [str(override.input_line) for override in overrides if not override.is_hydra_override()]
        launcher = config.hydra.launcher
        jobs = expand(arguments, config.hydra.sweeper.params, resolve, devices_per_run(launcher))
        workers = launcher_workers(launcher, config.device, sum(job.result() is None for job in jobs))
    for name, reason in missing.items():
        print(f"data={name} is not on this machine, so its finished runs count as to do ({reason})", file=sys.stderr)
    here = None if launcher_kind(launcher) == "SlurmLauncher" else config.device
    return sorted(jobs, key=lambda job: list(roadmap(job.experiment.size)).index(job.experiment.step)), workers, here


def _guess_device(records: list[Record], device: str | None) -> str | None:
    """The device of the sweep, as records name it; None where it is unknown.

    That of most records, or of this machine; the named one; on Slurm's nodes the accelerator of most records. Raises
    UserError for a device that this machine lacks.
    """
    if device is None:
        return usual_device(record for record in records if record.device != "cpu")
    if device == "auto" and (usual := usual_device(records)):
        return usual
    from modernet.runtime.device import device_name, select_device  # imports torch, which finished runs do not need

    return device_name(select_device(device))


def _format_table(estimates: list[Estimate]) -> str:
    rows = [
        [run.job.experiment.title, run.status, format_duration(run.seconds) if run.source else "", run.source]
        for run in estimates
    ]
    return tabulate(rows, ["run", "status", "time", "from"], "github", colalign=("left", "left", "right", "left"))


def total_duration(seconds: list[float], at_once: int) -> float:
    """Seconds until all runs have ended, where each one starts as soon as one of `at_once` workers is free."""
    ends = [0.0] * at_once
    for run in seconds:
        heapreplace(ends, ends[0] + run)
    return max(ends)


def _format_summary(estimates: list[Estimate], workers: Workers, device: str | None) -> str:
    left = [run for run in estimates if run.source]
    if not left:
        return f"{count_noun(len(estimates), 'run')}, nothing left to train."
    at_once = min(workers.runs, len(left))
    total = sum(run.seconds for run in left)
    duration = total_duration([run.seconds for run in left], at_once)
    measured = sum(run.source in (MEASURED, BENCHMARK) for run in left)
    others = sum(run.source.startswith((MEASURED, BENCHMARK)) for run in left) - measured
    return (
        f"{count_noun(len(estimates), 'run')}, {len(left)} to train: {format_duration(duration)}, {at_once} at once "
        f"on {count_noun(workers.devices, 'device')} each, {total * workers.devices / 3600:,.1f} "
        f"device-hours.\n{measured} of these times are measured{f' on {device}' if measured else ''}; "
        f"{f'{others} are measured with another amp or compile; ' if others else ''}"
        f"{len(left) - measured - others} follow from GMACs."
    )


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        jobs, workers, here = _compose_jobs(arguments.overrides)
        folders = {job.folder.parents[1] for job in jobs} | set(arguments.records)
        records = [record for folder in sorted(folders) for record in load_records(folder).records.values()]
        device = arguments.device or _guess_device(records, here)
        throughput = Throughput(records, load_speeds(), device, workers.threads, arguments.speed)
        estimates = [estimate_job(job, throughput, workers.devices) for job in jobs]
        print(_format_table(estimates), _format_summary(estimates, workers, throughput.device), sep="\n\n")


if __name__ == "__main__":
    main()
