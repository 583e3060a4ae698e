"""The settings of recipe and data that differ between the rows of a table though their recipe has one name."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from modernet.analysis.row import Group, group_of
from modernet.analysis.where import record_settings
from modernet.record import Record


class Mixed(NamedTuple):
    """A field that has several values in the rows of a group with one recipe, as after a change of a default."""

    group: Group
    recipe: str
    field: str
    variants: dict[str, set[str]]  # value -> the variants with it


def mixed_settings(records: Iterable[Record]) -> list[Mixed]:
    """Every mixed field of each group and recipe; a record without a fingerprint does not know its data."""
    found: dict[tuple[Group, str], dict[str, dict[str, set[str]]]] = defaultdict(lambda: defaultdict(dict))
    for (group, recipe, _), members in _group_by_config(records).items():
        variants = {record.variant for record in members}
        for name, value in _settings(members[0]).items():
            if value is not None or name != "data_fingerprint":
                found[group, recipe][name].setdefault(str(value), set()).update(variants)
    return [
        Mixed(group, recipe, name, values)
        for (group, recipe), by_name in found.items()
        for name, values in by_name.items()
        if len(values) > 1
    ]


def _group_by_config(records: Iterable[Record]) -> dict[tuple[Group, str, str], list[Record]]:
    """Group, recipe and the text of recipe and data -> its records: thousands of records have a few settings."""
    groups: dict[str, Group] = {}
    found: dict[tuple[Group, str, str], list[Record]] = defaultdict(list)
    for record in records:
        config = record.config
        text = repr((config.get("recipe"), config.get("data"), config.get("data_fingerprint")))
        name = f"{record.protocol}/{record.size}/{record.variant}"
        group = groups.get(name) or groups.setdefault(name, group_of(record))
        found[group, record.recipe, text].append(record)
    return found


def settings_but_epochs(record: Record) -> str:
    """A text that two records share whose recipe and data differ in the number of epochs at most."""
    fields = _settings(record).items()
    return str([record.recipe, *((name, value) for name, value in sorted(fields) if name != "recipe.epochs")])


def _settings(record: Record) -> dict[str, object]:
    settings = record_settings(record) | {"data_fingerprint": record.config.get("data_fingerprint")}
    return {name: value for name, value in settings.items() if not name.startswith(("model.", "finetune"))}


def comparable_sets(records: Iterable[Record]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Variant -> a label that the variants of a group share which may be compared, and the mixed fields by name.

    Without mixed fields there are no labels: a recipe of another name is a step of the roadmap. With them only variants
    with the same recipe and the same values share one.
    """
    records = list(records)
    fields = tuple(sorted({mixed.field for mixed in mixed_settings(records)}))
    labels = {}
    for members in _group_by_config(records).values() if fields else ():
        settings = _settings(members[0])
        label = str([members[0].recipe, *(settings.get(name) for name in fields)])
        labels |= {record.variant: label for record in members}
    return labels, fields
