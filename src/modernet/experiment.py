"""One experiment: everything that decides its result, as typed values, and the name it is found by."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from modernet.errors import UserError
from modernet.spec import DataSpec, Machine, ModelSpec, Recipe, Size
from modernet.steps import changing, combined, option, roadmap, to_kwargs


def digest(values: dict[str, Any]) -> str:
    """Ten hexadecimal digits that stand for these plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Experiment:
    """A network, a recipe, a data set and a seed. Where it runs and where its files lie is no part of it."""

    step: str
    variant: str  # the step, and what differs from it: convnext+act=relu
    protocol: str
    size: str
    seed: int
    model: ModelSpec
    recipe: Recipe
    data: DataSpec

    @cached_property
    def science(self) -> dict[str, Any]:
        """What decides the result, as plain values."""
        return {"protocol": self.protocol, "seed": self.seed, **_values(self.model, self.recipe, self.data)}

    @property
    def hash(self) -> str:
        """Of the science."""
        return digest(self.science)

    @property
    def name(self) -> str:
        """In wandb, and before its lines where several runs share a terminal."""
        return f"{self.variant}-s{self.seed}"

    @property
    def title(self) -> str:
        """In logs and lists."""
        return f"{self.variant}, seed {self.seed}, {self.protocol}"

    def folder(self, runs: Path) -> Path:
        """Its own folder under `runs`: that of a run of the same science if there is one, by whatever name it went."""
        parent = runs / self.protocol
        name = f"{self.name.replace('/', '-')}-{self.hash}"
        return next(iter(sorted(parent.glob(f"*-s{self.seed}-{self.hash}"))), parent / name)


def _values(model: ModelSpec, recipe: Recipe, data: DataSpec) -> dict[str, dict[str, Any]]:
    """As JSON has them: tuples become lists, and the data set's folder is left out."""
    parts = {"model": asdict(model), "recipe": asdict(recipe), "data": asdict(data)}
    del parts["data"]["root"]
    return json.loads(json.dumps(parts))


MACHINE = [field.name for field in fields(Machine)]
FIELDS = {"step", "without", "protocol", "size", "model", "recipe", "data", "seed", "runs", "retry_failed", "wandb"}
FIELDS |= set(MACHINE)
WANDB = ("offline", "online", "disabled")
Parts = tuple[ModelSpec, Recipe, DataSpec]


def _typed(config: DictConfig) -> Parts:
    return (
        ModelSpec(**to_kwargs(config.model)),
        Recipe(**to_kwargs(config.recipe)),
        DataSpec(**to_kwargs(config.data)),
    )


@cache
def _plain(step: str, protocol: str, size: str, recipe: str | None = None, data: str | None = None) -> Parts:
    """What these groups say by themselves, with no field overridden."""
    choices = {
        "+step": option(step, size),
        "protocol": protocol,
        "size": size,
        "recipe": recipe,
        "data": data,
    }
    return _typed(hydra.compose("config", [f"{group}={choice}" for group, choice in choices.items() if choice]))


def _shown(value: Any) -> str:
    return "[" + ",".join(map(_shown, value)) + "]" if isinstance(value, list) else str(value).lower()


def _changes(step: str, protocol: str, size: str, parts: Parts) -> list[str]:
    """What has to be said after `+step=... protocol=... size=...` to get these parts; model fields without `model.`"""
    _, recipe, data = parts
    plain = _plain(step, protocol, size)
    changes = []
    if (recipe.name, data.name) != (plain[1].name, plain[2].name):
        changes += [f"recipe={recipe.name}"] if recipe.name != plain[1].name else []
        changes += [f"data={data.name}"] if data.name != plain[2].name else []
        plain = _plain(step, protocol, size, recipe.name, data.name)
    before, after = _values(*plain), _values(*parts)
    for part, prefix in (("model", ""), ("recipe", "recipe."), ("data", "data.")):
        changes += [f"{prefix}{k}={_shown(v)}" for k, v in after[part].items() if v != before[part][k]]
    return changes


@cache
def _combined(names: tuple[str, ...], size: str) -> dict[str, Any]:
    return asdict(combined(names, size))


def undone(model: ModelSpec, step: str, size: str, without: Any) -> ModelSpec:
    """The step's network without the changes of these steps; what the user or a later step says of a field stays."""
    names = without if isinstance(without, list) else [without]
    known = changing(step, size)
    if unknown := [name for name in names if name not in known]:
        allowed = ", ".join(known) or "none"
        raise UserError(f"without names '{unknown[0]}', which {step} is not made of; allowed: {allowed}")
    full, less = _combined(tuple(known), size), _combined(tuple(name for name in known if name not in names), size)
    return replace(model, **{k: less[k] for k in full if less[k] != full[k] == getattr(model, k)})


def _nearest(model: ModelSpec, step: str, size: str) -> list[str]:
    """The steps from which the fewest fields lead to this network, this step before others."""
    distances = {
        name: sum(value != asdict(model)[key] for key, value in asdict(spec).items() if key != "stem_stride")
        for name, spec in roadmap(size).items()
    }
    near = [name for name, distance in distances.items() if distance == min(distances.values())]
    return sorted(near, key=lambda name: name != step)


def from_config(config: DictConfig) -> Experiment:
    """The experiment that a composed config describes. Call it while Hydra is running.

    It goes by the step with the fewest changes: `+step=move_up_depthwise model.kernel_size=7` is `kernel_size`, and so
    is `+step=gelu without=gelu`.
    """
    if unknown := sorted(set(map(str, config)) - FIELDS):
        raise UserError(f"there is no field '{unknown[0]}'; allowed: {', '.join(sorted(FIELDS))}")
    size = Size(**to_kwargs(config.size)).name
    step, protocol, seed = config.step, config.protocol, config.seed
    if not isinstance(seed, int) or seed < 0:
        raise UserError(f"seed must be an integer, 0 or more, got {seed!r}")
    model, recipe, data = _typed(config)
    parts = undone(model, step, size, to_kwargs(config)["without"]), recipe, data
    changes = {name: _changes(name, protocol, size, parts) for name in _nearest(parts[0], step, size)}
    step = min(changes, key=lambda name: len(changes[name]))
    return Experiment(step, "+".join([step, *changes[step]]), protocol, size, seed, *parts)


def machine(config: DictConfig) -> Machine:
    """How a composed config wants the work done."""
    if not isinstance(config.retry_failed, bool):
        raise UserError(f"retry_failed must be true or false, got {config.retry_failed!r}")
    if config.wandb not in WANDB:
        raise UserError(f"wandb must be one of {', '.join(WANDB)}, got {config.wandb!r}")
    return Machine(**{name: value for name, value in to_kwargs(config).items() if name in MACHINE})
