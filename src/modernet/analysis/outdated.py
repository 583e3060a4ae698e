"""Runs of a name whose configs have other values today: the table shows the older ones, and has to say so."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from modernet.analysis.row import Group, group_of, network_name
from modernet.analysis.where import record_settings
from modernet.config.today import values_today
from modernet.record import Record
from modernet.runtime.text import shorten

CHOICES = ("recipe", "data")  # groups that a variant may name: convnext+recipe=a3
SHOWN_FIELDS = 3


def is_todays(record: Record) -> bool:
    """Whether a run has the values that its name stands for today."""
    return _differences(record) == {}


def newness(record: Record) -> tuple[bool, str]:
    """Of runs with one name the largest counts: one with today's values, else the one that ended last or has a date."""
    return is_todays(record), record.ended or ""


def outdated_fields(record: Record) -> str | None:
    """`model.kernel_size=11 (now 13)`: the fields by which a run differs from what trains under its name today.

    None where there are none, and where that is unknown.
    """
    differences = _differences(record) or {}
    words = [f"{name}={_format(before)} (now {_format(now)})" for name, (before, now) in differences.items()]
    return shorten(words, SHOWN_FIELDS) or None


def _differences(record: Record) -> dict[str, tuple[Any, Any]] | None:
    """Field -> its values in the run and today, of those that the variant does not name.

    None where they are unknown: a config is not here, or the record does not name its own.
    """
    if any("name" not in record.config[group] for group in CHOICES):
        return None
    step, *changes = record.variant.split("+")
    named = {name: value for name, _, value in (change.partition("=") for change in changes)}
    choices = {group: named[group] for group in CHOICES if group in named}
    today = values_today(step, record.protocol, record.size, choices)
    if today is None:
        return None
    settings = record_settings(record)
    unknown = {"data.num_classes"} if today["data.num_classes"] is None else set()  # the files say it
    return {
        name: (settings[name], value)
        for name, value in today.items()
        if name in settings
        and settings[name] != value
        and name not in unknown
        and name.removeprefix("model.") not in named
    }


def _format(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def describe_outdated(records: Iterable[Record]) -> list[str]:
    """A line for each group of rows and difference."""
    found: dict[tuple[Group, str], list[str]] = {}
    for record in {(group_of(one), one.variant): one for one in records}.values():
        if fields := outdated_fields(record):
            found.setdefault((group_of(record), fields), []).append(network_name(record.variant))
    return [
        f"in {group}, runs have other values than their configs now: {fields} in {shorten(sorted(names), 3)}"
        for (group, fields), names in found.items()
    ]


def outdated_sentence(variants: Sequence[tuple[str, str | None]]) -> str:
    """The note below rows with these names and outdated fields; empty where none is outdated."""
    names: dict[str, list[str]] = {}
    for name, fields in variants:
        if fields:
            names.setdefault(fields, []).append(name)
    if not names:
        return ""
    described = "; ".join(
        f"{fields} in {'all rows' if len(members) == len(variants) > 1 else ', '.join(members)}"
        for fields, members in names.items()
    )
    return f"Runs have other values than their configs now: {described}."
