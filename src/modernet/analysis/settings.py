"""The settings that differ between the rows of a table though they have one name: values of recipe, data and steps."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, NamedTuple

from modernet.analysis.row import Group, group_of, split_variant
from modernet.analysis.where import record_settings
from modernet.config.identity import to_plain
from modernet.config.roadmap import roadmap
from modernet.record import Record
from modernet.runtime.text import shorten

MODEL, RECIPE = "model.", "recipe."


class Mixed(NamedTuple):
    """A field that has several values in the rows of a group, as after a change of a default."""

    group: Group
    recipe: str | None  # the recipe whose field it is: recipes with different names may differ
    field: str
    variants: dict[str, set[str]]  # value -> the variants with it


def mixed_settings(records: Iterable[Record]) -> list[Mixed]:
    """Every mixed field of each group; a record without a fingerprint does not know its data.

    The fields of data must be the same in the whole group, those of a recipe where the recipe has the same name, and
    those of a network where its step has the same value today, such as the stride of the stem, which the protocol sets.
    """
    found: dict[tuple[Group, str | None, str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for (group, recipe, _), members in _group_by_config(records).items():
        variants = {record.variant for record in members}
        steps = _values_of_step(members[0])
        for name, value in _settings(members[0]).items():
            if value is None and name == "data_fingerprint":
                continue
            of_recipe = recipe if name.startswith(RECIPE) else None
            found[group, of_recipe, name, str(steps.get(name))][str(value)].update(variants)
    return [
        Mixed(group, recipe, name, dict(values))
        for (group, recipe, name, _), values in found.items()
        if len(values) > 1
    ]


def describe_mixed(mixed: Mixed) -> str:
    """The line for a command's stderr."""
    values = "; ".join(f"{value} in {shorten(sorted(names), 3)}" for value, names in mixed.variants.items())
    with_recipe = f" with recipe {mixed.recipe}" if mixed.recipe else ""
    return (
        f"in {mixed.group}, runs{with_recipe} differ in {mixed.field}, and only those with the same value are "
        f"compared: {values}"
    )


def _group_by_config(records: Iterable[Record]) -> dict[tuple[Group, str, str], list[Record]]:
    """Group, recipe and the text of a config without its seed -> its records: thousands have a few settings."""
    groups: dict[str, Group] = {}
    found: dict[tuple[Group, str, str], list[Record]] = defaultdict(list)
    for record in records:
        config = record.config
        text = repr((record.variant, *map(config.get, ("model", "recipe", "data", "data_fingerprint"))))
        name = f"{record.protocol}/{record.size}/{record.variant}"
        group = groups.get(name) or groups.setdefault(name, group_of(record))
        found[group, record.recipe, text].append(record)
    return found


def settings_but_epochs(record: Record) -> str:
    """A text that two records share whose settings differ in the number of epochs at most.

    The values of the network are those that its name does not explain.
    """
    steps = _values_of_step(record)
    fields = [
        (name, value)
        for name, value in sorted(_settings(record).items())
        if name != "recipe.epochs" and (name == "model.stem_stride" or name not in steps or steps[name] != value)
    ]
    return str([record.recipe, *fields])


def _settings(record: Record) -> dict[str, Any]:
    """The fields of recipe, data and network that the name of the variant does not state."""
    named = {f"{MODEL}{change.partition('=')[0]}" for change in split_variant(record.variant)[1]}
    settings = record_settings(record) | {"data_fingerprint": record.config.get("data_fingerprint")}
    return {name: value for name, value in settings.items() if name != "finetune" and name not in named}


def _values_of_step(record: Record) -> dict[str, Any]:
    """The fields of the network of the record's step today."""
    step = split_variant(record.variant)[0]
    return {f"{MODEL}{name}": value for name, value in to_plain(asdict(roadmap(record.size)[step])).items()}


def comparable_sets(records: Iterable[Record]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Variant -> a label that the variants of a group share which may be compared, and the mixed fields by name.

    Without mixed fields there are no labels: a recipe of another name is a step of the roadmap. With them only variants
    with the same values share one, and where a recipe has mixed fields, with the same recipe.
    """
    records = list(records)
    fields = tuple(sorted({mixed.field for mixed in mixed_settings(records)}))
    labels = {}
    for members in _group_by_config(records).values() if fields else ():
        first = members[0]
        settings, steps = _settings(first), _values_of_step(first)
        values = [
            "of the step" if name in steps and settings.get(name) == steps[name] else settings.get(name)
            for name in fields
        ]
        recipe = first.recipe if any(name.startswith(RECIPE) for name in fields) else None
        labels |= {record.variant: str([recipe, *values]) for record in members}
    return labels, fields
