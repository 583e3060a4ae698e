"""Combinations of the roadmap's steps: which a study of them needs, and which of their runs are done."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import inf
from pathlib import Path
from statistics import mean

from modernet import record
from modernet.errors import UserError
from modernet.config.experiment import Experiment, digest, undone
from modernet.record import Record
from modernet.attribution.shapley import Coalition, Pair, prefixes
from modernet.config.schema import ModelConfig
from modernet.config.roadmap import changing

END = "convnext"


@dataclass(frozen=True)
class Study:
    """The steps that change the network as players; data and recipe are those of `end`, for every coalition."""

    end: Experiment  # of any seed
    seeds: tuple[int, ...]

    @cached_property
    def players(self) -> tuple[str, ...]:
        return tuple(changing(END, self.end.size))

    @cached_property
    def everyone(self) -> Coalition:
        return frozenset(self.players)

    def network(self, coalition: Coalition) -> ModelConfig:
        """The start with the changes of these steps, made in roadmap order."""
        return undone(self.end.model, END, self.end.size, [name for name in self.players if name not in coalition])

    def runs(self, network: ModelConfig) -> list[Experiment]:
        """One a seed."""
        return [replace(self.end, model=network, seed=seed) for seed in self.seeds]

    def shown(self, coalition: Coalition) -> str:
        """In words, by what it has or by what it lacks."""
        inside = [name for name in self.players if name in coalition]
        outside = [name for name in self.players if name not in coalition]
        if len(inside) <= len(outside):
            return f"start with {', '.join(inside)}" if inside else "start"
        return f"end without {', '.join(outside)}" if outside else "end"


@dataclass(frozen=True)
class Found:
    """Finished runs by the hash of their science, the paths of failed ones, and a line for each that was left out."""

    done: dict[str, Record]
    failed: dict[str, Path]
    left_out: list[str]


def find(folder: Path) -> Found:
    """Read every record below a folder."""
    found = Found({}, {}, [])
    for path in record.paths(folder):
        try:
            one = record.read(path)
        except ValueError as error:
            found.left_out.append(f"{path}: not a record ({str(error).splitlines()[0]})")
            continue
        name = digest(one.config)
        if one.status == "failed":
            found.failed[name] = path
        elif one.top1 is None:
            found.left_out.append(f"{path}: has no top-1")
        elif name in found.done:
            found.left_out.append(f"{path}: {one.variant} with seed {one.seed} a second time")
        else:
            found.done[name] = one
    return found


def seconds_per_run(
    records: Iterable[Record], end: Experiment, gmacs: Callable[[ModelConfig], float]
) -> Callable[[ModelConfig], float]:
    """How long a network trains, from records of the same data and recipe: its own mean, or by its GMACs that of all.

    Raises UserError where there is none.
    """
    alike = [one for one in records if all(one.config.get(part) == end.config[part] for part in ("recipe", "data"))]
    if not alike:
        raise UserError(
            f"no finished run of {end.protocol} with this recipe tells how long one takes; "
            "finish one, or give the budget as --runs, which does not need it"
        )
    measured = defaultdict(list)
    for one in alike:
        measured[digest(one.config["model"])].append(one.train_seconds)
    rate = sum(one.train_seconds for one in alike) / sum(one.gmacs for one in alike)

    def seconds(network: ModelConfig) -> float:
        own = measured.get(digest(replace(end, model=network).config["model"]))
        return mean(own) if own else rate * gmacs(network)

    return seconds


@dataclass(frozen=True)
class Budget:
    """What a plan may take in all, done or not, and what the runs of a network take of it."""

    limit: float = inf
    unit: str = ""
    price: Callable[[ModelConfig], float] = lambda network: 0.0


@dataclass(frozen=True)
class Plan:
    """What path, leave-one-out, add-one-in and some pairs of orders need, in this order."""

    study: Study
    pairs: list[Pair]
    networks: dict[Coalition, ModelConfig]
    spent: float  # of the budget
    beyond: float | None  # what the pair takes that the budget does not allow; None where all are in

    @cached_property
    def distinct(self) -> dict[ModelConfig, Coalition]:
        """Each network once, with its first coalition: they share their runs where a step changes nothing."""
        first: dict[ModelConfig, Coalition] = {}
        for coalition, network in self.networks.items():
            first.setdefault(network, coalition)
        return first

    def missing(self, found: Found) -> dict[Coalition, list[Experiment]]:
        """The runs that are not done."""
        left = {
            coalition: [run for run in self.study.runs(network) if run.hash not in found.done]
            for network, coalition in self.distinct.items()
        }
        return {coalition: runs for coalition, runs in left.items() if runs}

    def complete(self, found: Found) -> dict[ModelConfig, list[Record]]:
        """The records of the networks that are done with every seed."""
        hashes = {network: [run.hash for run in self.study.runs(network)] for network in self.distinct}
        return {
            network: [found.done[name] for name in names]
            for network, names in hashes.items()
            if found.done.keys() >= set(names)
        }


def plan(study: Study, pairs: Iterable[Pair], budget: Budget, found: Found) -> Plan:
    """Pair by pair until the budget does not allow the next; one that is done already is taken anyway.

    Raises UserError where it does not even allow path, leave-one-out and add-one-in.
    """
    alone = [frozenset({player}) for player in study.players]
    base = [*prefixes(study.players), *(study.everyone - one for one in alone), *alone]
    blocks = chain([(None, base)], ((pair, [*prefixes(pair[0]), *prefixes(pair[1])]) for pair in pairs))
    networks: dict[Coalition, ModelConfig] = {}
    taken: list[Pair] = []
    spent = 0.0
    for pair, coalitions in blocks:
        more = {coalition: study.network(coalition) for coalition in coalitions if coalition not in networks}
        new = set(more.values()) - set(networks.values())
        price = sum(map(budget.price, new))
        done = all(run.hash in found.done for network in new for run in study.runs(network))
        if spent + price > budget.limit and not done:
            if pair is None:
                needs = f"path, leave-one-out and add-one-in alone take {price:.4g} {budget.unit}"
                raise UserError(f"{needs}, more than the {budget.limit:.4g} allowed")
            return Plan(study, taken, networks, spent, price)
        networks |= more
        spent += price
        taken += [pair] if pair else []
    return Plan(study, taken, networks, spent, None)
