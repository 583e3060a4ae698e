"""The text of `train.py --help`: every field with its value, its unit and meaning, and what is allowed.

Meanings are the comments of schema.py and of configs/config.yaml, so each stands in one file.
"""

import inspect
import re
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from omegaconf import DictConfig, OmegaConf
from pydantic.fields import FieldInfo

from modernet.config.identity import SCHEMAS
from modernet.config.roadmap import steps_help
from modernet.config.schema import WandbConfig
from modernet.config.search_path import CONFIGS, config_groups, config_options

SECTIONS = {**SCHEMAS, "wandb": WandbConfig}
TYPE_NAMES = {int: "integer", float: "number", bool: "true or false", str: "text", type(None): "null"}
BOUNDS = {Gt: ("gt", ">"), Ge: ("ge", ">="), Lt: ("lt", "<"), Le: ("le", "<=")}


def _comments(cls: type) -> dict[str, str]:
    """Field -> the comment behind it in the class's source."""
    return dict(re.findall(r"^    (\w+): .*?  # (.+)$", inspect.getsource(cls), re.MULTILINE))


def _format_type(annotation: Any, metadata: list[Any]) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(str(value) for value in get_args(annotation))
    members = [FieldInfo.from_annotation(member) for member in get_args(annotation) if member is not Ellipsis]
    if members and get_origin(annotation) is tuple:
        return f"list of {_format_type(members[0].annotation, members[0].metadata)}"
    if members:
        return " or ".join(_format_type(member.annotation, member.metadata) for member in members)
    name = TYPE_NAMES[annotation]
    bounds = [
        f"{sign} {getattr(bound, field):g}"
        for bound in metadata
        for kind, (field, sign) in BOUNDS.items()
        if isinstance(bound, kind)
    ]
    return " ".join([name, *bounds])


def _format_value(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value).replace(" ", "").replace("'", "")


def field_lines(section: str, values: dict[str, Any]) -> list[str]:
    """One line per field of `model`, `recipe`, `data` or `wandb`: name=value, allowed values, meaning."""
    cls = SECTIONS[section]
    meanings = _comments(cls)
    lines = []
    for name, field in cls.__pydantic_fields__.items():  # pyright: ignore[reportAttributeAccessIssue]
        allowed = _format_type(field.annotation, field.metadata)
        lines.append(f"  {f'{section}.{name}={_format_value(values[name])}':<38} {meanings[name]} ({allowed})")
    return lines


def _top_level_lines() -> list[str]:
    """The fields of config.yaml itself, with the comments there."""
    text = (CONFIGS / "config.yaml").read_text(encoding="utf-8")
    found = re.findall(r"^(\w+): *(\S.*?)  +# (.+)$", text, re.MULTILINE)
    return [f"  {f'{name}={value}':<38} {meaning}" for name, value, meaning in found]


def fields_help(*, _root_: DictConfig) -> str:
    """All fields; the resolver `fields_help` of configs/config.yaml."""
    lines = _top_level_lines()
    for section in SECTIONS:
        values: Any = OmegaConf.to_container(_root_[section], resolve=True)
        lines += ["", *field_lines(section, values)]
    return "\n".join(lines)


def groups_help() -> str:
    """The config groups with their options; the resolver `groups_help` of configs/config.yaml."""
    return "\n".join(f"{group}: {', '.join(config_options(group))}" for group in config_groups())


def register() -> None:
    """Register the resolvers that the help template in configs/config.yaml uses."""
    OmegaConf.register_new_resolver("steps_help", steps_help, replace=True)
    OmegaConf.register_new_resolver("groups_help", groups_help, replace=True)
    OmegaConf.register_new_resolver("fields_help", fields_help, replace=True)
