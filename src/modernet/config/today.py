"""The values that the configs give to a step today: runs may be older than them."""

import re
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
from modernet.config.search_path import cached_per_config_dirs, read_config
from modernet.config.variant import compose_sections
from modernet.errors import UserError

Values = Mapping[str, Any]  # of fields as in model.act
OF_OTHER_GROUPS = re.compile(r"\$\{(?!size\.)[\w.]+\}")  # an interpolation that the step and the size do not decide


def values_today(step: str, protocol: str, size: str, choices: Mapping[str, str]) -> Values | None:
    """Every field that `+step=... protocol=... size=...` has today, with `choices` of recipe and data.

    None where the protocol or a choice is not here, or the values are invalid; step and size must be here. Composing
    takes a tenth of a second, so steps that change the network alone share it with the step before them.
    """
    source, changed = _composed_step(step, size)
    composed = _compose(source, protocol, size, **choices)
    model = {f"model.{name}": value for name, value in to_plain(asdict(roadmap(size)[step])).items()}
    return composed and composed | {name: value for name, value in model.items() if name in changed}


def _composed_step(step: str, size: str) -> tuple[str, set[str]]:
    """The last step up to this one that has to be composed, and the fields of the network that change after it.

    That is the start, or a step that changes more than the network or has further defaults; the step itself where the
    way to it reads values of other groups.
    """
    steps = {one.name: one for one in all_steps()}
    path = [step]
    while parent := parent_step(path[-1], size):
        path.append(parent)
    files = [steps[step_option(name, size)] for name in path]
    if any(OF_OTHER_GROUPS.search(str(file.change)) for file in files):  # a later step may change what it reads
        return step, set()
    changed: set[str] = set()
    for name, file in zip(path[:-1], files, strict=False):
        defaults = [entry for entry in read_config(file.path)["defaults"] if entry != "_self_"]
        if not file.change.keys() <= {"step", "model"} or len(defaults) > 1:
            return name, changed
        changed |= {f"model.{field}" for field in file.change.get("model", {})}
    return path[-1], changed


@cached_per_config_dirs
def _compose(
    step: str, protocol: str, size: str, recipe: str | None = None, data: str | None = None
) -> dict[str, Any] | None:
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
