"""Where runs come from: their dates, hosts, hardware, versions and commands."""

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from modernet.record import Record

UNKNOWN = "not recorded"
# An absolute path, on its own, in quotes or in a list: /data/my images, ~/data, C:\\data, '/data', [/a,/b].
PATH_IN_SENTENCE = re.compile(r"(?<![\w.])(?:~?/|[A-Za-z]:[\\/]|\\\\)\S+")
PATH = re.compile(r"""(^|[\['",{:])\s*((?:~|/|[A-Za-z]:[\\/]|\\\\)[^'",\]}]*)""")


@dataclass(frozen=True)
class Origin:
    """The origin of some runs. The counters have the number of runs of each value."""

    runs: int
    hours: float  # of training
    started: str  # the first start, or UNKNOWN
    ended: str  # the last end, or UNKNOWN
    facts: dict[str, Counter[str]]  # heading -> value -> number of runs
    commands: list[str]


def describe_origin(records: Sequence[Record]) -> Origin:
    """The origin of these runs; earlier versions recorded less."""
    return Origin(
        runs=len(records),
        hours=sum(run.train_seconds for run in records) / 3600,
        started=min((to_minute(run.started) for run in records if run.started), default=UNKNOWN),
        ended=max((to_minute(run.ended) for run in records if run.ended), default=UNKNOWN),
        facts={
            "hosts": Counter(run.host or UNKNOWN for run in records),
            "hardware": Counter(map(_describe_hardware, records)),
            "torch": Counter(run.torch or UNKNOWN for run in records),
            "commits": Counter(run.commit or UNKNOWN for run in records),
        },
        commands=merge_commands(records),
    )


def to_minute(time: str) -> str:
    """2026-03-01T12:34:56+00:00 -> 2026-03-01 12:34."""
    return time[:16].replace("T", " ")


def _describe_hardware(run: Record) -> str:
    gpus = [f"{number} x {name}" if number > 1 else name for name, number in Counter(run.gpus).items()]
    return ", ".join(gpus) or run.cpu or run.device


def to_publishable(override: str) -> str:
    """An override of the command line; of absolute paths only the last part, which says nothing about the machine."""
    name, equals, value = override.partition("=")
    return f"{name}{equals}{PATH.sub(lambda match: match[1] + _last_part(match[2]), value)}"


def shorten_paths(sentence: str) -> str:
    """A sentence with the last part of each absolute path in it."""
    return PATH_IN_SENTENCE.sub(lambda match: _last_part(match[0]), sentence)


def _last_part(path: str) -> str:
    kind = PureWindowsPath if re.match(r"\w:|\\", path) else PurePosixPath
    return kind(path).name


def merge_commands(records: Iterable[Record]) -> list[str]:
    """The commands that train these runs, where they were recorded.

    Commands that differ in seed or step alone become one sweep, as far as it is of exactly these runs.
    """
    seeds_of: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for run in records:
        if run.overrides:
            words = tuple(to_publishable(word) for word in run.overrides if not word.startswith("seed="))
            seeds_of[words].add(run.seed)
    steps_of: dict[tuple[tuple[str, ...], tuple[int, ...], bool], list[str]] = defaultdict(list)
    for words, seeds in seeds_of.items():
        others = tuple(word for word in words if not word.startswith("+step="))
        steps = [word.removeprefix("+step=") for word in words if word.startswith("+step=")]
        steps_of[others, tuple(sorted(seeds)), bool(steps)] += steps  # each run of a sweep over +step= has a step
    return [_format_command(others, steps, seeds) for (others, seeds, _), steps in steps_of.items()]


def _format_command(others: Sequence[str], steps: Sequence[str], seeds: Sequence[int]) -> str:
    sweep = ["-m"] if len(steps) > 1 or len(seeds) > 1 else []
    named = [f"+step={','.join(steps)}"] if steps else []
    return shlex.join(["modernet", "train", *sweep, *others, *named, f"seed={','.join(map(str, seeds))}"])
