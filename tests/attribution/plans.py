"""Plans of attributions and finished runs of a known game."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

from helpers import MAIN_PATH
from records import make_record

from modernet.attribution.design import AttributionDesign, AttributionPlan, Budget, LoadedRuns, build_plan
from modernet.attribution.shapley import Coalition, antithetic_pairs
from modernet.config.experiment import Experiment
from modernet.config.schema import ModelConfig
from modernet.record import Record

NO_RUNS = LoadedRuns({}, {}, [])
STEPS = MAIN_PATH[2:]


def plan_for(end: Experiment, seeds=(0,), pairs=0, budget=None, runs=NO_RUNS, **changes) -> AttributionPlan:
    """A plan with this number of pairs of orders; keyword arguments change the network of the end."""
    design = AttributionDesign(replace(end, model=replace(end.model, **changes)), "convnext", seeds)
    return build_plan(design, islice(antithetic_pairs(design.players), pairs), budget or Budget(), runs)


def gmacs(network: ModelConfig) -> float:
    """A cost that depends on the width alone."""
    return network.width / 1000


def record_of(experiment: Experiment, top1: float | None, **changes: Any) -> Record:
    """A finished run of this experiment with this accuracy."""
    changes = {"protocol": experiment.protocol, "config": experiment.config, **changes}
    cost = {"gmacs": gmacs(experiment.model), "params": 1000}
    return make_record(experiment.step, top1, experiment.seed, **cost, **changes)


def finished_runs(plan: AttributionPlan, game: Callable[[Coalition, int], float]) -> LoadedRuns:
    """Every run of a plan, with game(coalition, seed) as its top-1."""
    done = {
        run.hash: record_of(run, game(coalition, run.seed))
        for network, coalition in plan.distinct.items()
        for run in plan.design.runs(network)
    }
    return LoadedRuns(done, {}, [])


def game(coalition: Coalition, seed: int = 0) -> float:
    """Step n adds n / 10, depthwise_conv with kernel_size another 2; a seed adds 0.3, or 0.7 with gelu."""
    alone = sum(STEPS.index(step) / 10 for step in coalition)
    return (
        70 + alone + 2 * ({"depthwise_conv", "kernel_size"} <= coalition) + seed * (0.7 if "gelu" in coalition else 0.3)
    )
