"""The runs of a sweep, from the arguments of `train.py -m`. Every run is validated before the first one starts."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from modernet.config.experiment import Experiment, build_execution, build_experiment, build_wandb, with_seed
from modernet.config.schema import ExecutionConfig
from modernet.config.studies import check_end
from modernet.data.fingerprint import check_data_unchanged, count_train_images, resolve_data
from modernet.errors import UserError
from modernet.record import Record, find_result
from modernet.runtime.distributed import DistributedEnv, batch_layout, distributed_env
from modernet.runtime.file_names import RECORD_FILE
from modernet.training.checks import check_batch_size, check_image_size, check_recipe

SEED = re.compile(r"\$\{[^}]*\bseed\b")  # a value that follows the seed, such as ${seed}


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    overrides: list[str]  # as on the command line of the run alone
    experiment: Experiment
    folder: Path
    retry_failed: bool
    execution: ExecutionConfig

    def result(self) -> Record | None:
        """The record that ends the run; None where there is something to train."""
        return find_result(self.folder, self.retry_failed, self.experiment.hash)


def parse_overrides(arguments: list[str]) -> list[Override]:
    """Command-line overrides as Hydra parses them. Call it while Hydra is initialized."""
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    return parser.parse_overrides(arguments)


def _merge_params(overrides: list[Override], params: Mapping[str, Any]) -> list[Override]:
    """The params of a sweeper before the overrides of the command line, which win over params of the same key."""
    given = {override.key_or_group for override in overrides}
    added = [f"{key}={value}" for key, value in params.items() if key.lstrip("+") not in given]
    return [*parse_overrides(added), *overrides]


def launcher_kind(launcher: Any) -> str:
    """The class of the launcher with this config node, as in SlurmLauncher."""
    return launcher["_target_"].rpartition(".")[2]


def devices_per_run(launcher: Any) -> int:
    """Processes that train one run, one per device: the tasks of a Slurm job, or those that torchrun started.

    `launcher` is the config node of Hydra's launcher.
    """
    if launcher_kind(launcher) == "SlurmLauncher":
        return launcher["nodes"] * launcher["tasks_per_node"]
    return distributed_env().world_size


def _check(experiment: Experiment, num_devices: int) -> None:
    """Raises UserError for a run that cannot start: images, recipe and network that do not fit, or these devices."""
    recipe = experiment.recipe
    try:
        check_image_size(experiment.model, experiment.data)
        check_recipe(experiment.model, recipe, experiment.data)
        batch_layout(DistributedEnv(world_size=num_devices), recipe.batch_size, recipe.micro_batch_size)
        if num_images := _known_images(experiment):
            check_batch_size(recipe, num_images)
    except UserError as error:
        raise UserError(f"{experiment.title}: {error}") from error


def _known_images(experiment: Experiment) -> int | None:
    """The number of training images; None where it is unknown, or the files are on another machine."""
    try:
        return count_train_images(experiment.data)
    except UserError:
        return None


def expand(
    arguments: list[str],
    params: Mapping[str, Any] | None = None,
    resolve: Callable[[Experiment], Experiment] = resolve_data,
    num_devices: int = 1,
) -> list[Job]:
    """The runs that the arguments of `train.py -m` describe, each once. Call it while Hydra is initialized.

    `params` are the composed config's `hydra.sweeper.params`, `resolve` completes an experiment with what its data set
    says, `num_devices` train each run. Raises UserError, or an error of Hydra or pydantic, for the first mistake in
    any run.
    """
    overrides = _merge_params(parse_overrides(arguments), params or {})
    (combinations,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    jobs: dict[tuple[Path, int, str], Job] = {}

    @cache
    def build(*words: str) -> tuple[DictConfig, Experiment, ExecutionConfig]:
        config = hydra.compose("config", [*words])
        build_wandb(config)
        check_end(config)
        experiment = resolve(build_experiment(config, words))
        _check(experiment, num_devices)
        return config, experiment, build_execution(config)

    @cache
    def follows_seed(*words: str) -> bool:
        return bool(SEED.search(OmegaConf.to_yaml(build(*words)[0])))

    @cache
    def parse_seed(word: str) -> Any:
        return parse_overrides([word])[0].value()

    for words in combinations:
        # Building takes most of the time, and most runs differ from others in their seed alone.
        others = [word for word in words if not word.startswith("seed=")]
        is_alone = len(others) == len(words) or follows_seed(*others)
        config, experiment, execution = build(*(words if is_alone else others))
        if not is_alone:
            experiment = with_seed(experiment, parse_seed(next(word for word in reversed(words) if word not in others)))
        folder = experiment.folder(Path(config.runs))
        # With recipe=a3, resnet50 and modern_recipe are one run. Its last name is kept: the next step follows on it.
        key = folder.parent, experiment.seed, experiment.hash
        jobs[key] = Job(words, experiment, folder, config.retry_failed, execution)
        if not (folder / RECORD_FILE).exists():
            check_data_unchanged(experiment, Path(config.runs))
    if not jobs:
        raise UserError("the sweep has no runs; a list or range on the command line is empty")
    return list(jobs.values())
