"""The combinations of steps that an attribution needs, within a budget, and which of their runs are finished."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import inf
from pathlib import Path
from statistics import mean
from typing import Any

from modernet.analysis.formatting import describe_contradiction
from modernet.attribution.shapley import Coalition, Pair, prefixes
from modernet.config.experiment import Experiment, ablate
from modernet.config.identity import identity, network_hash
from modernet.config.roadmap import network_steps
from modernet.config.schema import ModelConfig
from modernet.errors import UserError
from modernet.record import Record, load_records


@dataclass(frozen=True)
class AttributionDesign:
    """A game whose players are the steps that change the network on the way to `step`.

    Every coalition is trained with the data and the recipe of `end`.
    """

    end: Experiment  # with all steps; its seed is ignored
    step: str  # the last of the steps
    seeds: tuple[int, ...]
    kept: frozenset[str] = frozenset()  # fields that the command line sets for all coalitions

    @cached_property
    def players(self) -> tuple[str, ...]:
        """The steps in roadmap order."""
        return tuple(network_steps(self.step, self.end.size))

    @cached_property
    def all_steps(self) -> Coalition:
        """The coalition of all players."""
        return frozenset(self.players)

    def network(self, coalition: Coalition) -> ModelConfig:
        """The start with the changes of these steps, applied in roadmap order."""
        removed = [name for name in self.players if name not in coalition]
        return ablate(self.end.model, self.step, self.end.size, removed, self.kept)

    def runs(self, network: ModelConfig) -> list[Experiment]:
        """The runs of a network, one per seed."""
        return [replace(self.end, model=network, seed=seed) for seed in self.seeds]

    def describe(self, coalition: Coalition) -> str:
        """The shorter of `start with a, b` and `end without c`."""
        included = [name for name in self.players if name in coalition]
        removed = [name for name in self.players if name not in coalition]
        if len(included) <= len(removed):
            return f"start with {', '.join(included)}" if included else "start"
        return f"end without {', '.join(removed)}" if removed else "end"


@dataclass(frozen=True)
class LoadedRuns:
    """The runs of a folder by their hash, and a line for each record that cannot be used."""

    done: dict[str, Record]
    failed: dict[str, Path]
    excluded: list[str]


def load_runs(folder: Path) -> LoadedRuns:
    """Read every record below a folder. Raises UserError for two records of one run with different results."""
    loaded = load_records(folder)
    runs = LoadedRuns({}, {}, list(loaded.rejected))
    paths: dict[str, Path] = {}
    for path, record in loaded.records.items():
        if record.status == "failed":
            runs.failed[record.hash] = path
        elif record.top1 is None:
            runs.excluded.append(f"{path}: has no top-1")
        elif (first := runs.done.get(record.hash)) is not None and first.top1 != record.top1:
            raise UserError(describe_contradiction({paths[record.hash]: first, path: record}))
        elif first is not None:
            runs.excluded.append(f"{path}: {record.variant} with seed {record.seed} a second time")
        else:
            runs.done[record.hash] = record
            paths[record.hash] = path
    return runs


def _setting(config: Mapping[str, Any]) -> dict[str, Any]:
    """What all networks of a design have in common."""
    return {name: value for name, value in identity(config).items() if name in ("recipe", "data", "data_fingerprint")}


def build_time_model(
    records: Iterable[Record], end: Experiment, gmacs: Callable[[ModelConfig], float]
) -> Callable[[ModelConfig], float]:
    """A function that estimates the training seconds of a network, from records of the same data and recipe.

    A measured network takes its own mean; others are estimated in proportion to their GMACs. Raises UserError where
    there is no such record.
    """
    same_setting = [record for record in records if _setting(record.config) == _setting(end.config)]
    if not same_setting:
        raise UserError(
            f"no run of {end.protocol} with this recipe is finished, so the time of a run is unknown; "
            "finish one, or give the budget as --runs"
        )
    measured = defaultdict(list)
    for record in same_setting:
        measured[network_hash(record.config["model"])].append(record.train_seconds)
    total_seconds = sum(record.train_seconds for record in same_setting)
    seconds_per_gmac = total_seconds / sum(record.gmacs for record in same_setting)

    def estimate_seconds(network: ModelConfig) -> float:
        own = measured.get(network_hash(network))
        return mean(own) if own else seconds_per_gmac * gmacs(network)

    return estimate_seconds


@dataclass(frozen=True)
class Budget:
    """A limit on all runs of a plan, finished or not, and what the runs of one network use of it."""

    limit: float = inf
    unit: str = ""
    cost: Callable[[ModelConfig], float] = lambda network: 0.0


@dataclass(frozen=True)
class AttributionPlan:
    """The networks of the path, leave-one-out and add-one-in, then those of some pairs of orders."""

    design: AttributionDesign
    pairs: list[Pair]
    networks: dict[Coalition, ModelConfig]
    spent: float  # of the budget
    next_cost: float | None  # of the first pair that exceeds the budget; None where all fit

    @cached_property
    def distinct(self) -> dict[ModelConfig, Coalition]:
        """Each network once, with its first coalition. A step that changes nothing gives two coalitions one network."""
        first: dict[ModelConfig, Coalition] = {}
        for coalition, network in self.networks.items():
            first.setdefault(network, coalition)
        return first

    def missing(self, runs: LoadedRuns) -> dict[Coalition, list[Experiment]]:
        """The runs that are not finished."""
        missing = {
            coalition: [run for run in self.design.runs(network) if run.hash not in runs.done]
            for network, coalition in self.distinct.items()
        }
        return {coalition: experiments for coalition, experiments in missing.items() if experiments}

    def complete(self, runs: LoadedRuns) -> dict[ModelConfig, list[Record]]:
        """The records of the networks that are finished with every seed."""
        hashes = {network: [run.hash for run in self.design.runs(network)] for network in self.distinct}
        return {
            network: [runs.done[run_hash] for run_hash in of_network]
            for network, of_network in hashes.items()
            if runs.done.keys() >= set(of_network)
        }


def build_plan(design: AttributionDesign, pairs: Iterable[Pair], budget: Budget, runs: LoadedRuns) -> AttributionPlan:
    """Add pair after pair until the next one exceeds the budget; a pair whose runs are all finished is always added.

    Raises UserError where the path, leave-one-out and add-one-in alone exceed the budget.
    """
    single = [frozenset({player}) for player in design.players]
    base = [*prefixes(design.players), *(design.all_steps - one for one in single), *single]
    blocks = chain([(None, base)], ((pair, [*prefixes(pair[0]), *prefixes(pair[1])]) for pair in pairs))
    networks: dict[Coalition, ModelConfig] = {}
    added: list[Pair] = []
    spent = 0.0
    for pair, coalitions in blocks:
        block = {coalition: design.network(coalition) for coalition in coalitions if coalition not in networks}
        new_networks = set(block.values()) - set(networks.values())
        cost = sum(map(budget.cost, new_networks))
        is_finished = all(run.hash in runs.done for network in new_networks for run in design.runs(network))
        if spent + cost > budget.limit and not is_finished:
            if pair is None:
                needs = f"the path, leave-one-out and add-one-in alone take {cost:.4g} {budget.unit}"
                raise UserError(f"{needs}, which exceeds the budget of {budget.limit:.4g}")
            return AttributionPlan(design, added, networks, spent, cost)
        networks |= block
        spent += cost
        added += [pair] if pair else []
    return AttributionPlan(design, added, networks, spent, None)
