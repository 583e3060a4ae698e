"""One experiment: everything that decides a run's result, as typed values, and the name of the run."""

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig

from modernet.config.identity import SCHEMAS, run_hash, to_plain
from modernet.config.roadmap import apply_steps, network_steps, to_dict
from modernet.config.schema import DataConfig, ExecutionConfig, ModelConfig, RecipeConfig, SizeConfig, WandbConfig
from modernet.config.search_path import CONFIGS, cached_per_config_dirs, config_options
from modernet.config.variant import nearest_steps, overrides_needed, to_sections
from modernet.config.warnings import config_warnings
from modernet.config.weights import Weights, find_weights
from modernet.errors import UserError

EXECUTION_FIELDS = [field.name for field in fields(ExecutionConfig)]
EXPERIMENT_FIELDS = ["step", "ablate", "protocol", "size", "model", "recipe", "data", "seed", "study", "finetune"]
FIELDS = {*EXPERIMENT_FIELDS, *EXECUTION_FIELDS, "runs", "retry_failed", "wandb"}
FOLDER_NAME_LENGTH = 40  # characters of a variant in the name of its folder

# Below the yaml files, so that a field which a yaml does not mention has its default and can be overridden.
ConfigStore.instance().store(
    "schema", {section: asdict(schema()) for section, schema in {**SCHEMAS, "wandb": WandbConfig}.items()}
)


def initialize_hydra() -> AbstractContextManager[Any]:
    """A context in which `hydra.compose` knows the schema, the configs of the package and those of the user."""
    return hydra.initialize_config_dir(str(CONFIGS.resolve()), version_base="1.3")


@dataclass(frozen=True)
class Experiment:
    """A network, a recipe, a data set and a seed. Neither the machine nor any path is part of it."""

    step: str
    variant: str  # the step and what differs from it: convnext+act=relu
    protocol: str
    size: str
    seed: int
    model: ModelConfig
    recipe: RecipeConfig
    data: DataConfig
    data_fingerprint: str | None = None  # of the data set's files; modernet.data.fingerprint fills it in
    warnings: tuple[str, ...] = ()  # one line each, for the log
    weights: Weights | None = None  # that the training starts from; None: initial weights

    @cached_property
    def config(self) -> dict[str, Any]:
        """Every value that decides the result, as plain values; the record's `config`."""
        sections = to_plain({"model": asdict(self.model), "recipe": asdict(self.recipe), "data": asdict(self.data)})
        del sections["data"]["root"]
        config = {"protocol": self.protocol, "seed": self.seed, **sections, "data_fingerprint": self.data_fingerprint}
        return config | ({"finetune": self.weights.fingerprint} if self.weights else {})

    @property
    def hash(self) -> str:
        """The run's identity."""
        return run_hash(self.config)

    @property
    def name(self) -> str:
        """Short name, for wandb and for the lines of runs that share a terminal."""
        return f"{self.variant}-s{self.seed}"

    @property
    def title(self) -> str:
        """Name for logs and lists."""
        return f"{self.variant}, seed {self.seed}, {self.protocol}"

    def folder(self, runs: Path) -> Path:
        """The run's folder below `runs`. A run of the same hash under another name is the same run."""
        parent = runs / self.protocol
        ending = f"-s{self.seed}-{self.hash}"
        name = self.variant.replace("/", "-")[:FOLDER_NAME_LENGTH] + ending
        return next(iter(sorted(parent.glob(f"*{ending}"))), parent / name)


@cached_per_config_dirs
def _with_steps(names: tuple[str, ...], size: str) -> dict[str, Any]:
    return asdict(apply_steps(names, size))


def ablate(model: ModelConfig, step: str, size: str, names: Collection[str], kept: Collection[str] = ()) -> ModelConfig:
    """The network of `step` without the changes of the named steps.

    A field that a later step changed as well keeps its value, and so does one of `kept`, which the user set, perhaps to
    the step's value. Raises UserError for a step that `step` does not include.
    """
    included = network_steps(step, size)
    if unknown := [name for name in names if name not in included]:
        allowed = ", ".join(included) or "none"
        raise UserError(f"{step} does not include the step '{unknown[0]}' of ablate; steps it includes: {allowed}")
    with_steps = _with_steps(tuple(included), size)
    without_steps = _with_steps(tuple(name for name in included if name not in names), size)
    untouched = [name for name, value in with_steps.items() if getattr(model, name) == value and name not in kept]
    return replace(model, **{name: without_steps[name] for name in untouched})


def set_fields(overrides: Iterable[str]) -> set[str]:
    """The fields of the network that overrides set: `model.act=relu`, and `model={act: relu}`."""
    found: set[str] = set()
    for override in OverridesParser.create().parse_overrides([*overrides]):
        section, _, field = override.key_or_group.partition(".")
        if section == "model" and field:
            found.add(field)
        elif section == "model" and isinstance(values := override.value(), dict):
            found |= set(map(str, values))
    return found


def build_experiment(config: DictConfig, overrides: Iterable[str] = ()) -> Experiment:
    """The experiment that a composed config describes. Call it while Hydra is initialized.

    `overrides` are those of the command line: `ablate` changes no field that they set.

    The variant is named after the step with the fewest changes: `+step=move_up_depthwise model.kernel_size=7` is
    `kernel_size`, and so is `+step=gelu ablate=gelu`. Raises UserError or pydantic's ValidationError.
    """
    if unknown := sorted(set(map(str, config)) - FIELDS):
        raise UserError(f"there is no field '{unknown[0]}'; allowed: {', '.join(sorted(FIELDS))}")
    size = SizeConfig(**to_dict(config.size)).name
    step, protocol, seed = config.step, config.protocol, _check_seed(config.seed)
    if not isinstance(config.runs, str) or not config.runs:
        raise UserError(f"runs must be the path of a folder, got {config.runs}; quotes make a text of it: \"runs='1'\"")
    names = list(config.ablate) if isinstance(config.ablate, ListConfig) else [config.ablate]
    kept = set_fields(overrides) if names else ()
    model, recipe, data = to_sections(config)
    sections = ablate(model, step, size, names, kept), recipe, data
    others = {name: [one for one in names if one != name] for name in names}
    idle = [name for name in names if ablate(model, step, size, others[name], kept) == sections[0]]
    changes: dict[str, list[str]] = {}
    for name in nearest_steps(sections[0], step, size):
        changes[name] = overrides_needed(name, protocol, size, sections)
        if not changes[name]:  # no other step has fewer, and composing its config takes a tenth of a second
            break
    step = min(changes, key=lambda name: len(changes[name]))
    weights = find_weights(config.finetune) if config.get("finetune") is not None else None
    variant = "+".join([step, *changes[step], *([f"finetune={weights.fingerprint}"] if weights else [])])
    warnings = (
        *(f"ablate={name} changes nothing: all that it changed is set again by a later step or here" for name in idle),
        *config_warnings(step, protocol, size, sections, changes[step]),
    )
    return Experiment(step, variant, protocol, size, seed, *sections, warnings=warnings, weights=weights)


def _check_seed(seed: Any) -> int:
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"seed must be an integer, 0 or more, got {seed!r}")
    return seed


def with_seed(experiment: Experiment, seed: Any) -> Experiment:
    """The same experiment with another seed. Raises UserError for a seed that is none."""
    return replace(experiment, seed=_check_seed(seed))


def build_execution(config: DictConfig) -> ExecutionConfig:
    """How a composed config wants the work done. Raises UserError or pydantic's ValidationError."""
    if not isinstance(config.retry_failed, bool):
        raise UserError(f"retry_failed must be true or false, got {config.retry_failed!r}")
    return ExecutionConfig(**{name: value for name, value in to_dict(config).items() if name in EXECUTION_FIELDS})


def build_wandb(config: DictConfig) -> WandbConfig:
    """Where a composed config wants wandb's copy. Raises UserError or pydantic's ValidationError."""
    values = config.wandb
    if not isinstance(values, DictConfig) or "program" in values:  # a file in configs/wandb/ for `wandb sweep`
        raise UserError(f"wandb must be one of {', '.join(config_options('wandb'))}")
    return WandbConfig(**to_dict(values))
