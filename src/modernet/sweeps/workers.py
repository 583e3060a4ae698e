"""How many runs of a sweep a launcher trains at a time, and with what."""

from dataclasses import dataclass
from typing import Any

from modernet.errors import UserError
from modernet.runtime.distributed import distributed_env
from modernet.sweeps.jobs import devices_per_run, launcher_kind


def check_n_jobs(n_jobs: Any) -> None:
    """Raises UserError for a number of runs at a time that the launcher `local` cannot train here."""
    if n_jobs == "auto":
        return
    if not isinstance(n_jobs, int) or isinstance(n_jobs, bool) or n_jobs < 1:
        raise UserError(f"hydra.launcher.n_jobs must be auto or an integer above 0, got {n_jobs}")
    if (world_size := distributed_env().world_size) > 1 and n_jobs > 1:
        raise UserError(f"hydra.launcher.n_jobs must be 1 where {world_size} processes train each run, got {n_jobs}")


def runs_at_once(n_jobs: Any, device: str) -> int:
    """Runs that the launcher `local` trains at a time with this `n_jobs`, for runs with the field `device`.

    `auto` is what was measured to be the fastest (docs/sweeps.md): one run per core on a CPU. On an accelerator it is
    one, as only the user knows how many networks fit into its memory, and so it is where torchrun started the sweep,
    because its processes train each run together. Raises UserError for another value.
    """
    check_n_jobs(n_jobs)
    if n_jobs != "auto":
        return n_jobs
    if distributed_env().world_size > 1 or device not in ("auto", "cpu"):
        return 1
    import joblib  # finished sweeps need neither
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True) if device == "auto" else None
    return 1 if accelerator else joblib.cpu_count()


@dataclass(frozen=True)
class Workers:
    """What a launcher runs at a time."""

    runs: int  # at the same time
    devices: int  # per run
    threads: int  # of the CPU, per run


def launcher_workers(launcher: Any, device: str, num_runs: int) -> Workers:
    """The workers of the Hydra launcher with this config node, on this machine, for so many runs on `device`."""
    import joblib  # the sweep of a finished command needs no workers

    cores = joblib.cpu_count()  # those that this process may use
    match launcher_kind(launcher):
        case "LocalLauncher":
            runs = max(min(runs_at_once(launcher["n_jobs"], device), num_runs), 1)
            return Workers(runs, 1, max(cores // runs, 1))
        case "JoblibLauncher":
            n_jobs = launcher["n_jobs"]
            runs = n_jobs if n_jobs > 0 else max(cores + 1 + n_jobs, 1)  # joblib counts from the end: -1 is all cores
            return Workers(runs, 1, max(cores // runs, 1))
        case "SlurmLauncher":
            threads = launcher["cpus_per_task"] or 1
            return Workers(launcher["array_parallelism"], devices_per_run(launcher), threads)
    return Workers(1, 1, cores)
