"""The identity of a run: a hash of the values that decide its result and differ from the schema's defaults.

So a new field leaves every earlier hash valid, as long as its default is what the code did before.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cache
from typing import Any

from modernet.config.schema import DataConfig, ModelConfig, RecipeConfig

SCHEMAS = {"model": ModelConfig, "recipe": RecipeConfig, "data": DataConfig}
# Fields that an earlier version had, with their defaults; records that hold these values stay valid.
REMOVED = {"recipe": {"sync_batchnorm": False}}
# What a thing is called, where it lies, and what may be done to read it.
NAMES = {"protocol", "recipe.name", "data.name", "data.root", "data.allow_pipe"}


def to_plain(value: Any) -> Any:
    """Plain values as JSON has them: tuples become lists."""
    return json.loads(json.dumps(value))


def digest(values: Any, length: int = 10) -> str:
    """The first hexadecimal digits of the SHA-256 of these plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:length]


def non_defaults(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `model`, `recipe` or `data` that identify a run and differ from the schema's defaults."""
    defaults = schema_defaults(SCHEMAS[section]) | REMOVED.get(section, {})
    return {
        name: value
        for name, value in values.items()
        if f"{section}.{name}" not in NAMES and (name not in defaults or defaults[name] != value)
    }


@cache
def schema_defaults(schema: Any) -> dict[str, Any]:
    """The default of each field of a section's dataclass, as plain values."""
    return {field.name: to_plain(field.default) for field in fields(schema)}


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's config (of `Experiment.config`, or of a record) that identifies the run."""
    result: dict[str, Any] = {}
    for name, value in config.items():
        if name in SCHEMAS:
            result[name] = non_defaults(name, value)
        elif name not in NAMES and value is not None:
            result[name] = value
    return result


def check_sections(config: Mapping[str, Any]) -> None:
    """Raises ValueError for the config of a record from which no identity can be computed."""
    for section in SCHEMAS:
        if not isinstance(config.get(section), Mapping):
            raise ValueError(f"config.{section} must be an object")


def run_hash(config: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits by which a run is found."""
    return digest(identity(config))


def network_hash(model: ModelConfig | Mapping[str, Any]) -> str:
    """Ten hexadecimal digits that two configs of one network share."""
    values = asdict(model) if isinstance(model, ModelConfig) else model
    return digest(non_defaults("model", to_plain(values)))
