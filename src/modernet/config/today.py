"""The values that the configs give to a step today: runs may be older than them."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from modernet.config.experiment import initialize_hydra
from modernet.config.identity import to_plain
from modernet.config.roadmap import all_steps, parent_step, roadmap, step_option
from modernet.config.search_path import cached_per_config_dirs, config_files, read_config
from modernet.config.variant import compose_sections
from modernet.errors import UserError

Values = Mapping[str, Any]  # of fields as in model.act


def values_today(step: str, protocol: str, size: str, choices: Mapping[str, str]) -> Values | None:
    """Every field that `+step=... protocol=... size=...` has today, with `choices` of recipe and data.

    None where a config of these names is not here or makes no network. Composing takes a tenth of a second, so steps
    that change the network alone share the recipe and the data of the step before them.
    """
    groups = {"protocol": protocol, "size": size, **choices}
    if any(name not in config_files(group) for group, name in groups.items()) or step not in roadmap(size):
        return None
    source, changed = _last_other_change(step, size)
    composed = composed_values(source, protocol, size, **choices)
    model = {f"model.{name}": value for name, value in to_plain(asdict(roadmap(size)[step])).items()}
    return composed and composed | {name: value for name, value in model.items() if name in changed}


def _last_other_change(step: str, size: str) -> tuple[str, set[str]]:
    """The last step up to this one that changes more than the network, or the start, and the fields changed since."""
    steps = {one.name: one for one in all_steps()}
    changed: set[str] = set()
    name, parent = step, parent_step(step, size)
    while parent is not None:
        file = steps[step_option(name, size)]
        defaults = read_config(file.path)["defaults"]
        if not file.change.keys() <= {"step", "model"} or [one for one in defaults if one != "_self_"][1:]:
            break
        changed |= {f"model.{field}" for field in file.change.get("model", {})}
        name, parent = parent, parent_step(parent, size)
    return name, changed


@cached_per_config_dirs
def composed_values(
    step: str, protocol: str, size: str, recipe: str | None = None, data: str | None = None
) -> dict[str, Any] | None:
    """`values_today` as Hydra composes them, right also where a protocol sets a field that a step changes."""
    try:
        with _hydra():
            sections = compose_sections(step, protocol, size, recipe, data)
    except (HydraException, OmegaConfBaseException, UserError, ValidationError):
        return None
    return {
        f"{section}.{name}": value
        for section, values in zip(("model", "recipe", "data"), sections, strict=True)
        for name, value in to_plain(asdict(values)).items()
    }


def _hydra() -> AbstractContextManager[Any]:
    return nullcontext() if GlobalHydra.instance().is_initialized() else initialize_hydra()
