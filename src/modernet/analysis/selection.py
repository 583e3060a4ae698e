"""Which records are compared: finished runs of known steps, one configuration per name, each seed once."""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from modernet.analysis.formatting import describe_contradiction
from modernet.analysis.outdated import describe_outdated, is_todays, newness
from modernet.analysis.row import split_variant
from modernet.analysis.settings import describe_mixed, mixed_settings
from modernet.analysis.where import Where, record_settings
from modernet.config.identity import run_hash
from modernet.config.roadmap import roadmap, sizes
from modernet.errors import UserError
from modernet.record import Record, load_records
from modernet.runtime.text import shorten

RowKey = tuple[str, str, str]  # protocol, size and variant of a row of the table

UNKNOWN = "is it from another version, from configs that --config-dir names, or was it renamed?"


@dataclass(frozen=True)
class Selection:
    """The records of one folder or several that can be compared, by path, and a line for each excluded one."""

    records: dict[Path, Record]
    excluded: list[str]
    failed: dict[Path, Record] = field(default_factory=dict)  # that no other record of the same run makes good


def _reason_to_exclude(record: Record, steps_of: Callable[[str], Collection[str] | None]) -> str | None:
    """`steps_of` returns the steps of a size, None for an unknown size."""
    if record.status != "done":
        return record.status
    if record.top1 is None:
        return "done, without a top-1"
    steps = steps_of(record.size)
    if steps is None:
        return f"there is no size {record.size!r} here; {UNKNOWN}"
    step, *_ = split_variant(record.variant)
    if step not in steps:
        return f"there is no step {step!r} here; {UNKNOWN}"
    return None


def configuration(record: Record) -> str:
    """A text of everything that decides the result except the seed; a new field with a default does not change it.

    What a step computes is in no config; where that was changed, the costs of the network can tell.
    """
    return f"{run_hash(record.config | {'seed': None})} {_costs(record)}"


def _costs(record: Record) -> dict[str, Any]:
    return {"params": record.params, "gmacs": f"{record.gmacs:.6g}"}


def row_key(record: Record) -> RowKey:
    """The row of the table that a record belongs to."""
    return record.protocol, record.size, record.variant


def load_finished(folders: Path | Sequence[Path], protocol: str | None = None, where: Where | None = None) -> Selection:
    """The finished records of known steps below one folder or several, of one protocol or of all.

    Excluded are files that hold no record of this version, failed runs, and runs of unknown steps and sizes. A file
    below two of the folders counts once. Raises UserError for a filter that does not fit the records.
    """
    loaded: dict[Path, Record] = {}
    excluded: list[str] = []
    seen: set[Path] = set()
    for folder in [folders] if isinstance(folders, Path) else folders:
        found = load_records(folder)
        excluded += [line for line in found.rejected if line not in excluded]
        for path, record in found.records.items():
            if protocol in (None, record.protocol) and (file := path.resolve()) not in seen:
                seen.add(file)
                loaded[path] = record
    if where is not None:
        loaded = where.select(loaded)
    steps_of = cache(lambda size: roadmap(size).keys() if size in sizes() else None)
    finished: dict[Path, Record] = {}
    for path, record in loaded.items():
        if reason := _reason_to_exclude(record, steps_of):
            excluded.append(f"{path}: {reason}")
        else:
            finished[path] = record
    failed = [(path, record) for path, record in loaded.items() if record.status == "failed"]
    seen_runs = {record.hash for record in finished.values()} if failed else set()
    made_good = [path for path, run in failed if run.hash in seen_runs or seen_runs.add(run.hash)]
    return Selection(finished, excluded, {path: run for path, run in failed if path not in made_good})


def _path_that_counts(runs: Mapping[Path, Record], configurations: Mapping[Path, str]) -> Path:
    """A path of the configuration that counts: of several, `newness` decides.

    Among records without dates the configuration of most runs counts, and of equally many the first path.
    """
    counts = Counter(configurations[path] for path in runs)
    if len(counts) == 1:
        return next(iter(runs))
    return max(runs, key=lambda path: (*newness(runs[path]), counts[configurations[path]]))


def _rule(record: Record) -> str:
    return "that of today's configs counts" if is_todays(record) else "the newest counts"


def _describe_end(record: Record) -> str:
    return f"ended {record.ended}" if record.ended else "without a date"


def _differing_fields(record: Record, other: Record) -> list[str]:
    """The names of the fields by which two configurations differ."""
    mine, others = (
        record_settings(one) | {"data_fingerprint": one.config.get("data_fingerprint"), **_costs(one)}
        for one in (record, other)
    )
    return [name for name in mine | others if mine.get(name) != others.get(name)]


def _changed_steps(rows: Mapping[RowKey, tuple[Path, Record]]) -> dict[RowKey, str]:
    """Rows of a variant and its step, of which one ran before the step's values were changed -> why the older is wrong.

    `rows` has a run of each row. Their difference would have more causes than the variant's name says.
    """
    reasons: dict[RowKey, str] = {}
    for key, (path, record) in rows.items():
        step, changes, others = split_variant(record.variant)
        base = (*key[:2], "+".join(filter(None, [step, others])))
        if not changes or base not in rows:
            continue
        named = {f"model.{change.partition('=')[0]}" for change in changes}
        step_path, step_record = rows[base]
        fields = [name for name in _differing_fields(record, step_record) if name.startswith("model.")]
        if unnamed := [name for name in fields if name not in named]:
            is_older = newness(record) <= newness(step_record)
            newer = step_path if is_older else path
            reasons[key if is_older else base] = (
                f"{step} was changed between this run and {newer}, in {shorten(unnamed, 3)}; "
                f"{_rule(step_record if is_older else record)}"
            )
    return reasons


def _contradiction(records: Mapping[Path, Record]) -> UserError:
    return UserError(f"{describe_contradiction(records)}, or exclude it by --where, as in --where \"host=='NAME'\"")


def choose(finished: Mapping[Path, Record]) -> Selection:
    """Of finished records those of the table: one configuration for each name in a protocol and size, each seed once.

    Where several configurations have one name, as after a change of a default, today's counts, else the one that ended
    last; of a variant and its step the newer, where they differ in more than the variant's name says. Copies of a run
    count once.
    Raises UserError for two records of one run with different results.
    """
    configurations = {path: configuration(record) for path, record in finished.items()}
    rows: dict[RowKey, dict[Path, Record]] = defaultdict(dict)
    for path, record in finished.items():
        rows[row_key(record)][path] = record
    chosen: dict[Path, Record] = {}
    excluded: list[str] = []
    paths = {key: _path_that_counts(runs, configurations) for key, runs in rows.items()}
    changed_steps = _changed_steps({key: (path, finished[path]) for key, path in paths.items()})
    for key, runs in rows.items():
        if reason := changed_steps.get(key):
            excluded += [f"{path}: {reason}" for path in runs]
            continue
        counting = paths[key]
        first_paths: dict[int, Path] = {}
        for path, record in runs.items():
            if configurations[path] != configurations[counting]:
                excluded.append(
                    f"{path}: another configuration with the name {record.variant}, {_describe_end(record)}, which "
                    f"differs in {shorten(_differing_fields(record, runs[counting]), 3)}; {_rule(runs[counting])}: "
                    f"{counting}, {_describe_end(runs[counting])}"
                )
                continue
            first = first_paths.setdefault(record.seed, path)
            if first == path:
                chosen[path] = record
            elif record.top1 == runs[first].top1:
                excluded.append(f"{path}: {record.variant} with seed {record.seed} a second time; the first is {first}")
            else:
                raise _contradiction({first: runs[first], path: record})
    for path, first in _renamed(chosen).items():
        if chosen[path].top1 != chosen[first].top1:
            raise _contradiction({first: chosen[first], path: chosen[path]})
        excluded.append(f"{path}: the run of {first} under another name, {chosen[path].variant}")
        del chosen[path]
    return Selection({path: record for path, record in finished.items() if path in chosen}, excluded)


def _renamed(chosen: Mapping[Path, Record]) -> dict[Path, Path]:
    """Records of a run that has a shorter name as well, as after a change of a step -> the path under that name."""
    first_paths: dict[tuple[str, str, str, int], Path] = {}
    renamed: dict[Path, Path] = {}
    for path, record in sorted(chosen.items(), key=lambda item: item[1].variant.count("+")):
        first = first_paths.setdefault((record.protocol, record.size, record.hash, record.seed), path)
        if first != path:
            renamed[path] = first
    return renamed


def select(folders: Path | Sequence[Path], protocol: str | None = None, where: Where | None = None) -> Selection:
    """The comparable records below one folder or several, of one protocol or of all: `load_finished`, then `choose`."""
    finished = load_finished(folders, protocol, where)
    chosen = choose(finished.records)
    return Selection(chosen.records, finished.excluded + chosen.excluded, finished.failed)


def no_records_error(
    folders: Path | Sequence[Path], protocol: str | None = None, where: Where | None = None
) -> UserError:
    """The error for folders without a record that counts."""
    of_protocol = f" of protocol {protocol}" if protocol else ""
    matching = f' that matches "{where.text}"' if where else ""
    searched = folders if isinstance(folders, Path) else ", ".join(map(str, folders))
    return UserError(
        f"there is no finished record{of_protocol}{matching} below {searched}; `modernet train --help` explains how "
        "to train"
    )


def print_excluded(excluded: Sequence[str]) -> None:
    """A line on stderr for each excluded record."""
    for line in dict.fromkeys(excluded):
        print(f"excluded: {line}", file=sys.stderr)


def load_selection(
    folders: Path | Sequence[Path], protocol: str | None = None, where: Where | None = None
) -> Selection:
    """`select`, and on stderr what it excludes and which rows are outdated or differ. Raises UserError without rows."""
    selection = select(folders, protocol, where)
    print_excluded(selection.excluded)
    if not selection.records:
        raise no_records_error(folders, protocol, where)
    records = selection.records.values()
    for line in [*map(describe_mixed, mixed_settings(records)), *describe_outdated(records)]:
        print(f"warning: {line}", file=sys.stderr)
    return selection
