"""Hydra's launcher for sweeps on this machine, the default (configs/hydra/launcher/local.yaml)."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher


class LocalLauncher(Launcher):
    """Trains several runs at a time in processes of their own, by joblib, or one after the other in this process."""

    def __init__(self, n_jobs: int | str) -> None:
        """`n_jobs` is the number of runs at a time, or `auto`."""
        self.n_jobs = n_jobs
        self.launcher: Launcher | None = None

    def setup(self, **arguments: Any) -> None:
        """Keep what Hydra passes. Raises UserError for a number of runs that is none."""
        from modernet.sweeps.workers import check_n_jobs  # Hydra imports this file only to see which plugins there are

        check_n_jobs(self.n_jobs)
        self.arguments = arguments

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train these runs. The first call decides how: a run that ended its process stays in one of its own."""
        if self.launcher is None:
            from modernet.sweeps.workers import runs_at_once

            at_once = min(runs_at_once(self.n_jobs, self.arguments["config"].device), len(job_overrides))
            self.launcher = BasicLauncher() if at_once == 1 else JoblibLauncher(n_jobs=at_once, **worker_options())
            self.launcher.setup(**self.arguments)
        return self.launcher.launch(job_overrides, initial_job_idx)


def worker_options() -> dict[str, Any]:
    """Arguments of joblib.Parallel by which the processes that train the runs of a sweep end where it is killed.

    Silences joblib's warning of replaced processes.
    """
    from modernet.runtime.orphans import end_with_parent

    # joblib replaces a process between two runs once it has grown by 300 MB, as a process that trains does.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    return {"initializer": end_with_parent, "initargs": (os.getpid(),)}
