"""Values that the sweeps in configs/study/ refer to, as OmegaConf resolvers: steps, ablations, multiples."""

import sys
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from modernet.config.roadmap import apply_steps, main_path, network_steps, step_option
from modernet.config.search_path import cached_per_config_dirs
from modernet.errors import UserError


def _format_list(names: list[str]) -> str:
    return f"[{','.join(names)}]"


def roadmap_steps(size: str) -> str:
    """The published steps as values of `+step`."""
    return ",".join(step_option(name, size) for name in main_path(size))


def modern_steps(size: str) -> str:
    """The published steps that have the modern recipe, all but the start, as values of `+step`."""
    return ",".join(step_option(name, size) for name in main_path(size)[1:])


def multiples(value: float, factors: Sequence[float]) -> str:
    """`value` times each factor, as values of a field."""
    return ",".join(str(value * factor) for factor in factors)


def leave_one_out(end: str, size: str) -> str:
    """Values of `ablate`: nothing, then each step of `end` without which there is a network."""
    steps = network_steps(end, size)
    return ",".join(["[]", *(name for name in steps if _is_network((*_without(steps, name),), size))])


def add_one_in(end: str, size: str) -> str:
    """Values of `ablate`: all steps of `end`, then all but one that is a network alone."""
    steps = network_steps(end, size)
    alone = [name for name in steps if _is_network((name,), size)]
    return ",".join([_format_list(steps), *(_format_list(_without(steps, kept)) for kept in alone)])


def _without(steps: list[str], left_out: str) -> list[str]:
    return [name for name in steps if name != left_out]


@cached_per_config_dirs  # a study is composed for each of its runs
def _is_network(names: tuple[str, ...], size: str) -> bool:
    """Whether the start with these steps is a network; a line on stderr says why it is none."""
    try:
        apply_steps(names, size)
    except ValidationError as error:
        print(f"left out, because it is no network: {' + '.join(names)} ({error.errors()[0]['msg']})", file=sys.stderr)
        return False
    return True


def check_end(config: DictConfig) -> None:
    """Raises UserError where a run of a study with an end has another step: the study ablates the steps of its end."""
    end = OmegaConf.select(config, "study.end")
    if end not in (None, config.step):
        raise UserError(
            f"the study ablates the steps of study.end={end}, not of +step={config.step}; "
            f"study.end={config.step} without +step makes that step the end"
        )


def register() -> None:
    """Register the resolvers."""
    for function in (roadmap_steps, modern_steps, multiples, leave_one_out, add_one_in):
        OmegaConf.register_new_resolver(function.__name__, function, replace=True)
