"""Values that the sweeps in configs/study/ refer to, as OmegaConf resolvers: steps, ablations, multiples."""

from collections.abc import Sequence

from omegaconf import OmegaConf

from modernet.config.roadmap import main_path, network_steps, step_option


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
    """Values of `ablate`: nothing, then each step of `end` alone."""
    return ",".join(["[]", *network_steps(end, size)])


def add_one_in(end: str, size: str) -> str:
    """Values of `ablate`: all steps of `end`, then all but one."""
    steps = network_steps(end, size)
    all_but_one = [_format_list([name for name in steps if name != kept]) for kept in steps]
    return ",".join([_format_list(steps), *all_but_one])


def register() -> None:
    """Register the resolvers."""
    for function in (roadmap_steps, modern_steps, multiples, leave_one_out, add_one_in):
        OmegaConf.register_new_resolver(function.__name__, function, replace=True)
