"""The runs of a study, by their network and by the fields of recipe and data that differ from their protocol."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modernet.analysis.formatting import describe_contradiction
from modernet.analysis.row import network_name
from modernet.config.experiment import Experiment
from modernet.config.identity import non_defaults
from modernet.errors import UserError
from modernet.record import Record

EPOCHS, LR, SPLIT = "recipe.epochs", "recipe.lr", "data.split"
HELD_OUT = "train/val"


@dataclass(frozen=True)
class StudyRun:
    """A record with the name of its network, and the values of recipe and data that its protocol does not have."""

    network: str  # the step, and the changes to its network: convnext+layer_scale=0.1
    changes: dict[str, Any]  # field -> value; empty for the protocol itself
    record: Record

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return self.record.epochs

    @property
    def lr(self) -> float:
        """Peak learning rate at `base_batch_size`."""
        return self.record.config["recipe"]["lr"]

    @property
    def top1(self) -> float:
        """Percent."""
        assert self.record.top1 is not None  # analysis.selection excludes runs without
        return self.record.top1


def classify_runs(records: Mapping[Path, Record], protocol: Mapping[str, Experiment]) -> list[StudyRun]:
    """The runs of a protocol, each once, by network and seed.

    `protocol` has an experiment per name of a recipe, with the values that the protocol trains today. The names of
    records do not count: a run that its protocol called `convnext` when it had two epochs is a change of the epochs
    today. Runs of other files than most (`data_fingerprint`) are omitted, and runs of other recipes. Raises UserError
    for two records of one run with different results, and for two networks with one name.
    """
    paths: dict[str, Path] = {}
    for path, record in records.items():
        if _is_of(record, protocol):
            first = paths.setdefault(record.hash, path)
            if records[first].top1 != record.top1:
                raise UserError(describe_contradiction({first: records[first], path: record}))
    distinct = [records[path] for path in paths.values()]
    fingerprints = Counter(record.config.get("data_fingerprint") for record in distinct)
    usual = max(fingerprints, key=lambda fingerprint: fingerprints[fingerprint], default=None)
    runs = [
        StudyRun(network_name(record.variant), _changes(record, protocol[record.recipe]), record)
        for record in distinct
        if record.config.get("data_fingerprint") == usual
    ]
    _check_names(runs)
    return sorted(runs, key=lambda run: (run.network, run.record.seed))


def _check_names(runs: Iterable[StudyRun]) -> None:
    """Raises UserError where a name stands for two networks, as after a change of the protocol's stem."""
    first: dict[str, StudyRun] = {}
    for run in runs:
        other = first.setdefault(run.network, run)
        ours, theirs = (non_defaults("model", each.record.config["model"]) for each in (run, other))
        if fields := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
            name = fields[0]
            raise UserError(
                f"two networks have the name {run.network}: one of seed {other.record.seed} with model.{name} "
                f"{theirs.get(name)}, one of seed {run.record.seed} with {ours.get(name)}; delete the runs of one"
            )


def _is_of(record: Record, protocol: Mapping[str, Experiment]) -> bool:
    usual = protocol.get(record.recipe)
    return usual is not None and (record.protocol, record.size) == (usual.protocol, usual.size)


def _changes(record: Record, usual: Experiment) -> dict[str, Any]:
    changes = {}
    for section in ("recipe", "data"):
        ours, theirs = (non_defaults(section, config[section]) for config in (record.config, usual.config))
        for name in sorted(ours.keys() | theirs.keys()):
            is_read_from_files = (section, name) == ("data", "num_classes") and theirs.get(name) is None
            if ours.get(name) != theirs.get(name) and not is_read_from_files:
                changes[f"{section}.{name}"] = record.config[section].get(name)
    return changes


def of_protocol(runs: Iterable[StudyRun], epochs: int | None = None) -> list[StudyRun]:
    """The runs with the protocol's recipe, at all lengths of training or at one."""
    unchanged = [run for run in runs if run.changes.keys() <= {EPOCHS}]
    return [run for run in unchanged if epochs in (None, run.epochs)]


def held_out(runs: Iterable[StudyRun], epochs: int) -> list[StudyRun]:
    """The runs that compare learning rates on images held out of train, at one length of training."""
    return [
        run
        for run in runs
        if run.changes.keys() <= {EPOCHS, LR, SPLIT} and run.changes.get(SPLIT) == HELD_OUT and run.epochs == epochs
    ]


def at_rate(runs: Iterable[StudyRun], network: str, lr: float) -> list[StudyRun]:
    """The runs of a network on the protocol's data and epochs with this learning rate."""
    return [run for run in runs if run.network == network and run.changes.keys() <= {LR} and run.lr == lr]


def to_records(runs: Iterable[StudyRun]) -> list[Record]:
    """The records, each named after its network alone, so that they are rows of one table."""
    return [replace(run.record, variant=run.network) for run in runs]


def group_top1s(runs: Iterable[StudyRun], key: Callable[[StudyRun], Any]) -> dict[str, dict[Any, list[float]]]:
    """Network -> key -> top-1 of each seed in percent."""
    result: dict[str, dict[Any, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in sorted(runs, key=lambda run: run.record.seed):
        result[run.network][key(run)].append(run.top1)
    return {network: dict(sorted(values.items())) for network, values in result.items()}


def of_network(runs: Iterable[StudyRun], networks: set[str]) -> list[StudyRun]:
    """The runs of these networks."""
    return [run for run in runs if run.network in networks]
