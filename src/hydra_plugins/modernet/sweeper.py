"""Hydra's entry to modernet's sweeps; configs/hydra/sweeper/study.yaml names the class."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher

from hydra_plugins.modernet.local_launcher import worker_options


class StudySweeper(BasicSweeper):
    """Hydra's basic sweeper, except that it validates every run before the first one starts and skips finished runs."""

    def sweep(self, arguments: list[str]) -> None:
        """Run the combinations of these overrides and `hydra.sweeper.params`. Raises RunFailed or UserError."""
        from modernet.sweeps import jobs, sweep  # Hydra imports this file only to see which plugins there are

        assert self.config is not None
        launcher: Any = self.launcher
        config = self.config.hydra
        if isinstance(launcher, JoblibLauncher):
            launcher.joblib |= worker_options()
        sweep.run_sweep(
            jobs.expand(arguments, config.sweeper.params, num_devices=jobs.devices_per_run(config.launcher)),
            lambda overrides: launcher.launch(overrides, initial_job_idx=0),
            config.launcher,
        )
