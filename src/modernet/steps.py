"""The roadmap as configs/step holds it: a step a file, each naming its parent and its one change."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from modernet.spec import ModelSpec

CONFIGS = Path(__file__).with_name("configs")  # in a checkout a link to the folder at the top


@dataclass(frozen=True)
class Step:
    name: str  # as in `+step=NAME`
    parent: str | None  # the step before; None for the start
    title: str  # the comment of its file
    change: dict[str, Any]  # its yaml, without the defaults


def _read(path: Path) -> Step:
    comments = [line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#")]
    change = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(change, dict)
    parents = [entry for entry in change.pop("defaults", []) if isinstance(entry, str) and entry != "_self_"]
    title = " ".join(line for line in comments if not line.startswith("@package"))
    return Step(path.stem, parents[0] if parents else None, title, {str(key): value for key, value in change.items()})


def _all() -> list[Step]:
    return [_read(path) for path in sorted((CONFIGS / "step").glob("*.yaml"))]


@cache
def steps() -> list[Step]:
    """Every step, in roadmap order: parents first, a side branch right behind the step it leaves from."""
    found = _all()

    def walk(step: Step) -> list[Step]:
        branches = sorted((walk(child) for child in found if child.parent == step.name), key=len)
        return [step, *(step for branch in branches for step in branch)]

    return [step for root in found if root.parent is None for step in walk(root)]


def to_kwargs(node: Any) -> dict[str, Any]:
    """A config node as plain values, with what it refers to filled in."""
    return {str(key): value for key, value in OmegaConf.to_container(node, resolve=True).items()}  # pyright: ignore


def sizes() -> list[str]:
    return sorted(path.stem for path in (CONFIGS / "size").glob("*.yaml"))


def _before(size: str) -> Any:
    """The config that the first step changes."""
    if size not in sizes():
        raise ValueError(f"there is no size {size!r}; allowed: {', '.join(sizes())}")
    files = {"size": CONFIGS / "size" / f"{size}.yaml", "model": CONFIGS / "model" / "resnet.yaml"}
    return OmegaConf.create({key: OmegaConf.load(path) for key, path in files.items()})


@cache
def _walked(size: str) -> dict[str, tuple[Step, ModelSpec]]:
    composed: dict[str | None, Any] = {None: _before(size)}
    result = {}
    for step in steps():
        config = composed[step.name] = OmegaConf.merge(composed[step.parent], step.change)
        result[config.step] = step, ModelSpec(**to_kwargs(config.model))
    return result


def roadmap(size: str = "t") -> dict[str, ModelSpec]:
    """Step name -> the step's network, in roadmap order, for size `t`, `b` or `micro`.

    The first is called what it is in that size: resnet50, in size b resnet200. Raises ValueError for another size.
    """
    return {name: spec for name, (_, spec) in _walked(size).items()}


def option(name: str, size: str) -> str:
    """What to write behind `+step=` for the step of this name; Raises ValueError where there is no such step."""
    walked = _walked(size)
    if name not in walked:
        raise ValueError(f"there is no step {name!r} in size {size}; allowed: {', '.join(walked)}")
    return walked[name][0].name


def parent(name: str, size: str) -> str | None:
    """The step before, by the name it has in this size; None for the start, or where there is no such step."""
    walked = _walked(size)
    if name not in walked:
        return None
    before = walked[name][0].parent
    return next((key for key, (step, _) in walked.items() if step.name == before), None)


def changing(name: str, size: str) -> list[str]:
    """The steps that change the network on the way to this one, itself included: a recipe is none of them."""
    way: list[str] = []
    step: str | None = name
    while step is not None:
        way += [step] if "model" in _walked(size)[step][0].change else []
        step = parent(step, size)
    return way[::-1]


def combined(names: Iterable[str], size: str) -> ModelSpec:
    """The start with the changes of these steps alone, made in roadmap order.

    Any subset is a valid network: a kernel size without depthwise convolutions is that of dense ones.
    """
    chosen = set(names)
    changes = [step.change for name, (step, _) in _walked(size).items() if name in chosen]
    return ModelSpec(**to_kwargs(OmegaConf.select(OmegaConf.merge(_before(size), *changes), "model")))


def help_text() -> str:
    """The steps in roadmap order, a line each."""
    width = max(len(step.name) for step in steps())
    return "\n".join(f"  +step={step.name:<{width}}  {step.title}" for step in steps())
