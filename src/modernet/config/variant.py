"""The name of a network with its recipe and data: the step with the fewest overrides that lead to their values."""

from dataclasses import asdict, fields, replace
from typing import Any

import hydra
from omegaconf import DictConfig

from modernet.config.identity import NAMES, to_plain
from modernet.config.roadmap import roadmap, step_option, to_dict
from modernet.config.schema import DataConfig, ModelConfig, RecipeConfig
from modernet.config.search_path import cached_per_config_dirs, config_files

Sections = tuple[ModelConfig, RecipeConfig, DataConfig]

NAMELESS = NAMES - {"protocol", "data.name"}  # fields that no name of a network has


def to_sections(config: DictConfig) -> Sections:
    """Network, recipe and data of a composed config. Raises pydantic's ValidationError."""
    return (
        ModelConfig(**to_dict(config.model)),
        RecipeConfig(**to_dict(config.recipe)),
        DataConfig(**to_dict(config.data)),
    )


@cached_per_config_dirs
def compose_sections(
    step: str, protocol: str, size: str, recipe: str | None = None, data: str | None = None
) -> Sections:
    """The sections that these groups compose, with no field overridden."""
    choices = {"+step": step_option(step, size), "protocol": protocol, "size": size, "recipe": recipe, "data": data}
    return to_sections(hydra.compose("config", [f"{group}={name}" for group, name in choices.items() if name]))


def _format_value(value: Any) -> str:
    return "[" + ",".join(map(_format_value, value)) + "]" if isinstance(value, list) else str(value).lower()


def overrides_needed(step: str, protocol: str, size: str, sections: Sections) -> list[str]:
    """The overrides that turn `+step=... protocol=... size=...` into these sections; model fields without `model.`"""
    _, recipe, data = sections
    base = compose_sections(step, protocol, size)
    overrides = []
    named = (("recipe", recipe, base[1]), ("data", data, base[2]))
    choices = {
        group: section.name
        for group, section, default in named
        if section.name != default.name and section.name in config_files(group)
    }
    if "recipe" in choices:
        named = compose_sections(step, protocol, size, recipe=recipe.name)[1]
        if base[1] in (replace(recipe, name=base[1].name), replace(named, name=base[1].name)):
            del choices["recipe"]  # a name alone makes no other run
    if choices:
        overrides += [f"{group}={name}" for group, name in choices.items()]
        base = compose_sections(step, protocol, size, **choices)
    for prefix, before, after in zip(("", "recipe.", "data."), base, sections, strict=True):
        old, new = to_plain(asdict(before)), to_plain(asdict(after))
        overrides += [
            f"{prefix}{name}={_format_value(value)}"
            for name, value in new.items()
            if value != old[name] and f"{prefix}{name}" not in NAMELESS
        ]
    return overrides


def nearest_steps(model: ModelConfig, step: str, size: str) -> list[str]:
    """The steps from which the fewest fields lead to this network, `step` before others."""

    def distance(other: ModelConfig) -> int:
        pairs = zip(fields(model), asdict(model).values(), asdict(other).values(), strict=True)
        return sum(mine != theirs for field, mine, theirs in pairs if field.name != "stem_stride")

    distances = {name: distance(network) for name, network in roadmap(size).items()}
    nearest = [name for name in distances if distances[name] == min(distances.values())]
    return sorted(nearest, key=lambda name: name != step)
