"""From ResNet to ConvNeXt, one measured step at a time (Liu et al. 2022, arXiv 2201.03545).

>>> from modernet import build_model, model_cost, roadmap
>>> build_model(roadmap("t")["gelu"])
>>> model_cost(roadmap("t")["gelu"])
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modernet.config.roadmap import roadmap
    from modernet.config.schema import DataConfig, ModelConfig, RecipeConfig
    from modernet.models.flops import model_cost
    from modernet.models.network import build_model
    from modernet.training.trained import load_images, load_run

__all__ = [
    "DataConfig",
    "ModelConfig",
    "RecipeConfig",
    "build_model",
    "load_images",
    "load_run",
    "model_cost",
    "roadmap",
]

# The process that started this one, read before imports that take seconds: once it is killed, another is the parent.
PARENT = os.getppid()

# Imported on first use: torch is of no use to tables and reports.
LAZY = {
    "DataConfig": "modernet.config.schema",
    "ModelConfig": "modernet.config.schema",
    "RecipeConfig": "modernet.config.schema",
    "build_model": "modernet.models.network",
    "load_images": "modernet.training.trained",
    "load_run": "modernet.training.trained",
    "model_cost": "modernet.models.flops",
    "roadmap": "modernet.config.roadmap",
}
# Names of modernet 0.1, for one more release.
ALIASES = {
    "ModelSpec": "ModelConfig",
    "DataSpec": "DataConfig",
    "Recipe": "RecipeConfig",
    "build": "build_model",
    "cost": "model_cost",
}


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("modernet")
        except PackageNotFoundError as error:  # of sources that are not installed
            raise AttributeError("modernet is not installed, so it has no version") from error
    name = ALIASES.get(name, name)
    if name in LAZY:
        return getattr(import_module(LAZY[name]), name)
    raise AttributeError(f"module 'modernet' has no attribute '{name}'")
