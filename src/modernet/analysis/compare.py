"""A comparison of chosen variants: the difference of each to the first, as planned contrasts, with costs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modernet.analysis.layout import Layout, build_layout
from modernet.analysis.row import Row, group_of, is_published_step, network_name
from modernet.analysis.selection import Selection, choose, configuration, row_key
from modernet.analysis.settings import comparable_sets
from modernet.analysis.stats import Difference, holm, summarize
from modernet.analysis.table import difference_values, layout_values, roadmap_position, run_values, top1s
from modernet.analysis.where import is_filter, parse_where, record_fields, record_settings
from modernet.errors import UserError
from modernet.record import Record

# Two results are of the same images where these fields are the same. A data set without files has no fingerprint.
EVALUATED_IMAGES = ("data.split", "data_fingerprint")


@dataclass(frozen=True)
class Arm:
    """One of the compared variants: its runs, all of one configuration, each of another seed."""

    records: tuple[Record, ...]

    @property
    def first(self) -> Record:
        return self.records[0]

    @property
    def identity(self) -> tuple[Any, ...]:
        """What two arms of the same runs have in common."""
        return (*row_key(self.first), configuration(self.first))

    @property
    def settings(self) -> dict[str, Any]:
        """Every field of the config that decides the result, except the seed."""
        return record_settings(self.first)


@dataclass(frozen=True)
class Comparison:
    """The compared variants, the first of which is the reference of the others.

    `rows` are rows of the results table whose `before` is the reference. `settings` are the fields in which each
    variant differs from the reference. `noise_networks` are the variants of several runs, which the noise is from.
    """

    rows: list[Row]
    settings: list[dict[str, Any]]
    noise_networks: int

    @property
    def reference(self) -> Row:
        return self.rows[0]


def find_arms(words: Sequence[str], finished: Mapping[Path, Record]) -> tuple[list[Arm], list[str]]:
    """The variants that names and filters select, each once, and a line for each record that was left out.

    A filter stands for all variants that it matches, in roadmap order. Raises UserError for a name or filter without
    records, for a name that several protocols or sizes have, and for fewer than two variants.
    """
    arms: dict[tuple[Any, ...], Arm] = {}
    excluded: list[str] = []
    for word in words:
        selection = _select_word(word, finished)
        excluded += selection.excluded
        found = _group_arms(selection.records.values())
        if not arms and len(found) > 1:
            names = ", ".join(arm.first.variant for arm in found)
            raise UserError(f'the first of the compared variants must be one; "{word}" selects {len(found)}: {names}')
        for arm in found:
            known = arms.setdefault(arm.identity, arm)
            if {record.hash for record in known.records} != {record.hash for record in arm.records}:
                raise UserError(
                    f'"{word}" selects runs of {arm.first.variant} with other seeds than a word before it; one variant '
                    "has one row"
                )
    runs: dict[str, str] = {}
    for arm in arms.values():
        for record in arm.records:
            if (other := runs.setdefault(record.hash, record.variant)) != record.variant:
                raise UserError(f"'{other}' and '{record.variant}' are two names of one network; name one of them")
    if len(arms) < 2:
        raise UserError(f"a comparison needs two variants or more, got {len(arms)}: {', '.join(words)}")
    _check_same_images(list(arms.values()))
    return list(arms.values()), excluded


def _select_word(word: str, finished: Mapping[Path, Record]) -> Selection:
    named = {path: record for path, record in finished.items() if record.variant == word} or _of_network(word, finished)
    if named:
        homes = sorted({f"{record.protocol} (size {record.size})" for record in named.values()})
        if len(homes) > 1:
            raise UserError(f"'{word}' was run in {', '.join(homes)}; choose one by --protocol, --where or a filter")
        return choose(named)
    if not is_filter(word):
        known = ", ".join(dict.fromkeys(record.variant for record in _in_order(finished.values())))
        raise UserError(
            f"there is no record of '{word}'; allowed: {known}, and filters such as \"model.act=='gelu' and seed<3\""
        )
    matching = parse_where(word).select(finished)
    if not matching:
        raise UserError(f'no finished record matches "{word}"')
    return choose(matching)


def _of_network(name: str, finished: Mapping[Path, Record]) -> dict[Path, Record]:
    """The records of a row of the table whose heading has the changes to recipe and data.

    Raises UserError for a name that stands under several headings.
    """
    named = {path: record for path, record in finished.items() if network_name(record.variant) == name}
    variants = list(dict.fromkeys(record.variant for record in named.values()))
    if len(variants) > 1:
        raise UserError(f"'{name}' was run with several recipes or data; choose one of {', '.join(variants)}")
    return named


def _in_order(records: Iterable[Record]) -> list[Record]:
    return sorted(
        records, key=lambda record: (*row_key(record)[:2], roadmap_position(record.variant, record.size), record.seed)
    )


def _group_arms(records: Iterable[Record]) -> list[Arm]:
    groups: dict[Any, list[Record]] = {}
    for record in _in_order(records):
        groups.setdefault(row_key(record), []).append(record)
    return [Arm(tuple(runs)) for runs in groups.values()]


def _check_same_images(arms: Sequence[Arm]) -> None:
    """Accuracies on different images have no difference that means anything."""
    has_fingerprints = all(arm.first.config.get("data_fingerprint") for arm in arms)
    for field in EVALUATED_IMAGES if has_fingerprints else ("data.name", *EVALUATED_IMAGES):
        values = [(arm.first.variant, record_fields(arm.first).get(field)) for arm in arms]
        known = [(variant, value) for variant, value in values if value is not None]
        if len({value for _, value in known}) > 1:
            described = ", ".join(f"{variant} {value}" for variant, value in known)
            raise UserError(f"the variants were evaluated on different images ({field}: {described})")


def _noise_values(arms: Sequence[Arm], finished: Mapping[Path, Record]) -> list[tuple[float, ...]]:
    """The results of the networks that the noise is pooled over: as in the results table.

    Published steps of one group are compared by the noise of the published steps, others by that of all rows of their
    groups. Rows with other settings than those of all compared variants are in no layout with them.
    """
    groups = {group_of(arm.first) for arm in arms}
    published = len(groups) == 1 and all(is_published_step(arm.first.variant, arm.first.size) for arm in arms)
    compared = {row_key(arm.first) for arm in arms}
    others = {
        path: record
        for path, record in finished.items()
        if group_of(record) in groups
        and row_key(record) not in compared
        and (not published or is_published_step(record.variant, record.size))
    }
    comparable = _of_same_settings(arms, choose(others).records.values())
    return [top1s(arm.records) for arm in (*arms, *_group_arms(comparable))]


def _of_same_settings(arms: Sequence[Arm], others: Iterable[Record]) -> list[Record]:
    """The records with the settings of recipe and data of one of the arms, where the rows of its group have several."""
    found: list[Record] = []
    records = list(others)
    for group in {group_of(arm.first) for arm in arms}:
        compared = [record for arm in arms for record in arm.records if group_of(record) == group]
        members = [record for record in records if group_of(record) == group]
        labels, mixed = comparable_sets([*compared, *members])
        allowed = {labels[record.variant] for record in compared} if mixed else set()
        found += [record for record in members if not mixed or labels[record.variant] in allowed]
    return found


def _differing_settings(arm: Arm, reference: Arm) -> dict[str, Any]:
    mine, others = arm.settings, reference.settings
    return {name: mine.get(name) for name in [*mine, *(others.keys() - mine)] if mine.get(name) != others.get(name)}


def _labels(arms: Sequence[Arm], settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The variants' names, longer where two arms have the same: with protocol and size, or their settings."""
    labels = [arm.first.variant for arm in arms]
    homes = {(arm.first.protocol, arm.first.size) for arm in arms}
    if len(homes) > 1:
        labels = [
            f"{label}, {arm.first.protocol}, size {arm.first.size}" for label, arm in zip(labels, arms, strict=True)
        ]
    counts = Counter(labels)
    different = {name for values in settings for name in values}
    return [
        f"{label} ({', '.join(f'{name}={arm.settings.get(name)}' for name in sorted(different))})"
        if counts[label] > 1
        else label
        for label, arm in zip(labels, arms, strict=True)
    ]


def _build_row(arm: Arm, label: str, before: str | None, gap: Difference, layout: Layout) -> Row:
    return Row(
        arm.first.protocol,
        arm.first.size,
        "",
        label,
        before=before,
        **run_values(arm.records),
        **difference_values("difference", gap),
        **layout_values(layout),
    )


def build_comparison(arms: Sequence[Arm], finished: Mapping[Path, Record]) -> Comparison:
    """The difference of each variant to the first; p-values are corrected by Holm's method over these differences."""
    noise = _noise_values(arms, finished)
    layout = build_layout(noise)
    reference = summarize(top1s(arms[0].records))
    settings = [_differing_settings(arm, arms[0]) for arm in arms]
    labels = _labels(arms, settings)
    rows = [_build_row(arms[0], labels[0], None, Difference(None), layout)]
    for arm, label in zip(arms[1:], labels[1:], strict=True):
        sample = summarize(top1s(arm.records))
        row = _build_row(arm, label, labels[0], layout.compare(sample, reference), layout)
        rows.append(replace(row, seeds_needed=layout.seeds_needed(sample, reference)))
    corrected = holm([row.difference_p for row in rows])
    rows = [replace(row, difference_holm=p) for row, p in zip(rows, corrected, strict=True)]
    return Comparison(rows, settings, sum(len(values) > 1 for values in noise))
