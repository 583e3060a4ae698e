"""From ResNet to ConvNeXt, one measured step at a time (Liu et al. 2022, arXiv 2201.03545).

>>> from modernet import ModelSpec, build, cost, roadmap
>>> build(roadmap("t")["gelu"])
"""

from typing import TYPE_CHECKING, Any

from modernet.spec import DataSpec, ModelSpec, Recipe
from modernet.steps import roadmap

if TYPE_CHECKING:
    from modernet.costs import cost
    from modernet.model import build

__all__ = ["DataSpec", "ModelSpec", "Recipe", "build", "cost", "roadmap"]


def __getattr__(name: str) -> Any:
    """Bring torch only to those who build or count networks: tables and reports are made without it."""
    if name == "build":
        from modernet.model import build

        return build
    if name == "cost":
        from modernet.costs import cost

        return cost
    raise AttributeError(f"module 'modernet' has no attribute '{name}'")
