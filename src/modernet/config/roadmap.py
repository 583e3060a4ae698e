"""The roadmap, read from configs/step: one file per step, each with its parent and its one change."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from modernet.config.schema import ModelConfig
from modernet.config.search_path import cached_per_config_dirs, config_files, read_config
from modernet.errors import UserError

END = "convnext"  # file in configs/step/ of the last published step


@dataclass(frozen=True)
class Step:
    """One file of configs/step/."""

    path: Path
    name: str  # as in `+step=NAME`
    parent: str | None  # name of the step before; None for the start
    title: str  # the comment of its file
    change: dict[str, Any]  # its yaml without the defaults list


def _read_step(path: Path) -> Step:
    change = dict(read_config(path))
    comments = [line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    parents = [entry for entry in change.pop("defaults", []) if isinstance(entry, str) and entry != "_self_"]
    title = " ".join(line for line in comments if not line.startswith("@package"))
    parent = parents[0].removeprefix("/step/") if parents else None
    return Step(path, path.stem, parent, title, {str(key): value for key, value in change.items()})


@cached_per_config_dirs
def all_steps() -> list[Step]:
    """Every step in roadmap order: parents first, a side step directly behind its parent."""
    steps = [_read_step(path) for path in config_files("step").values()]
    names = {step.name for step in steps}
    for step in steps:
        if step.parent is not None and step.parent not in names:
            allowed = ", ".join(sorted(names))
            raise UserError(f"{step.path}: its defaults name '{step.parent}', which is no step; allowed: {allowed}")
    published = _published(steps)

    def subtree(step: Step) -> list[Step]:
        children = [child for child in steps if child.parent == step.name]
        children.sort(key=lambda child: (child.name in published, child.name))  # side steps first
        return [step, *(descendant for child in children for descendant in subtree(child))]

    return [step for root in steps if root.parent is None for step in subtree(root)]


def _published(steps: list[Step]) -> set[str]:
    """Names of the steps on the way to END."""
    parents = {step.name: step.parent for step in steps}
    path: set[str] = set()
    name: str | None = END
    while name is not None and name in parents:
        path.add(name)
        name = parents[name]
    return path


def to_dict(node: Any) -> dict[str, Any]:
    """A config node as plain values, with its interpolations resolved."""
    return {str(key): value for key, value in OmegaConf.to_container(node, resolve=True).items()}  # pyright: ignore


def sizes() -> list[str]:
    """Names of the sizes, sorted."""
    return list(config_files("size"))


# For the configs: ResNeXt's groups follow from the width.
OmegaConf.register_new_resolver("half", lambda number: number // 2, replace=True)


@cached_per_config_dirs
def _base_config(size: str) -> Any:
    """The config that the first step changes."""
    if size not in sizes():
        raise ValueError(f"there is no size {size!r}; allowed: {', '.join(sizes())}")
    files = {"size": config_files("size")[size], "model": config_files("model")["resnet"]}
    return OmegaConf.create({key: OmegaConf.load(path) for key, path in files.items()})


@cached_per_config_dirs
def _composed(size: str) -> dict[str, tuple[Step, ModelConfig]]:
    """Name of each step in this size -> the step and its network, in roadmap order."""
    configs: dict[str | None, Any] = {None: _base_config(size)}
    result = {}
    for step in all_steps():
        config = configs[step.name] = OmegaConf.merge(configs[step.parent], step.change)
        if step.parent and config.step != step.name:
            raise UserError(f"{step.path} needs a line `step: {step.name}`, which names its runs")
        result[config.step] = step, ModelConfig(**to_dict(config.model))
    return result


def roadmap(size: str = "t") -> dict[str, ModelConfig]:
    """Step name -> the step's network, in roadmap order, for a size of `configs/size/` or one of the user's.

    The start has the name of its network: resnet50, in size b resnet200. Raises ValueError for an unknown size.
    """
    return {name: model for name, (_, model) in _composed(size).items()}


def is_known(step: str, size: str) -> bool:
    """Whether there is a step of this name in a size of this name."""
    return size in sizes() and step in roadmap(size)


def main_path(size: str) -> list[str]:
    """Names of the published steps, from ResNet to ConvNeXt; steps beside or behind them are side steps."""
    published = _published(all_steps())
    return [name for name, (step, _) in _composed(size).items() if step.name in published]


def step_option(name: str, size: str) -> str:
    """The value of `+step=` for the step of this name. Raises ValueError for an unknown step."""
    steps = _composed(size)
    if name not in steps:
        raise ValueError(f"there is no step {name!r} in size {size}; allowed: {', '.join(steps)}")
    return steps[name][0].name


def parent_step(name: str, size: str) -> str | None:
    """The name of the step before in this size; None for the start and for an unknown step."""
    steps = _composed(size)
    if name not in steps:
        return None
    parent = steps[name][0].parent
    return next((key for key, (step, _) in steps.items() if step.name == parent), None)


def network_steps(name: str, size: str) -> list[str]:
    """The steps on the way to this one, itself included, that change the network (not the recipe).

    Raises UserError for an unknown step.
    """
    steps = _composed(size)
    if name not in steps:
        raise UserError(f"there is no step '{name}' in size {size}; allowed: {', '.join(steps)}")
    path: list[str] = []
    step: str | None = name
    while step is not None:
        path += [step] if "model" in steps[step][0].change else []
        step = parent_step(step, size)
    return path[::-1]


def apply_steps(names: Iterable[str], size: str) -> ModelConfig:
    """The start with the changes of these steps alone, applied in roadmap order.

    Any subset of the published steps is a network: a kernel size without depthwise convolutions is that of dense ones.
    Raises ValidationError where a step needs another one, as inception_mixer needs depthwise_conv.
    """
    chosen = set(names)
    changes = [step.change for name, (step, _) in _composed(size).items() if name in chosen]
    return ModelConfig(**to_dict(OmegaConf.select(OmegaConf.merge(_base_config(size), *changes), "model")))


def steps_help() -> str:
    """The steps in roadmap order, one line each."""
    steps = all_steps()
    width = max(len(step.name) for step in steps)
    return "\n".join(f"  +step={step.name:<{width}}  {step.title}" for step in steps)
