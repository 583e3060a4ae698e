"""What `python train.py -m` does, as Hydra loads it: configs/hydra/sweeper/study.yaml names the class."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class StudySweeper(BasicSweeper):
    """Hydra's basic sweeper, but every run is checked before the first starts, and what is done is found."""

    def sweep(self, arguments: list[str]) -> Any:
        from modernet import sweep  # not where Hydra only looks which plugins there are

        assert self.launcher is not None
        assert self.config is not None
        launcher = self.launcher
        sweep.run(
            sweep.expand(arguments),
            lambda jobs: launcher.launch(jobs, initial_job_idx=0),
            self.config.hydra.launcher,
        )
