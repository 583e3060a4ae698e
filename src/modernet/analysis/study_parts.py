"""The parts of a study: which runs belong to each, and the command that makes them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

from modernet.analysis.layout import Contrast, Layout, build_layout, compare_with
from modernet.analysis.learning_rate import BestRate, best_rates
from modernet.analysis.row import Row
from modernet.analysis.study import (
    StudyRun,
    at_rate,
    classify_runs,
    group_top1s,
    held_out,
    of_network,
    of_protocol,
    to_records,
)
from modernet.analysis.table import build_rows, with_layout
from modernet.config.experiment import Experiment, ablate
from modernet.config.identity import network_hash
from modernet.config.roadmap import END, main_path, network_steps, roadmap
from modernet.record import Record

BUDGET_NETWORKS = ("modern_recipe", "invert_bottleneck", "separate_downsampling", "convnext")
BUDGET_EPOCHS = (2, 6, 18)  # of +study=budget
SHORT_EPOCHS = BUDGET_EPOCHS[0]
HELD_OUT_EPOCHS = 3  # of +study=learning_rate
KERNEL_BASE, KERNEL_SIZES = "move_up_depthwise", 5  # of +study=kernels: the step, and the number of sizes
# Network of +study=layer_scale -> initial value of Layer Scale; without Layer Scale the end is the step before it.
LAYER_SCALES = {"convnext": "1e-6", "convnext+layer_scale=0.1": "0.1", "separate_downsampling": "none"}
NUM_SEEDS = 3
SEEDS = f"seed={','.join(map(str, range(NUM_SEEDS)))}"
RATE_FACTORS = (0.5, 1, 2)  # of +study=learning_rate, of the rate of the recipe


@dataclass(frozen=True)
class Part:
    """Runs of a study that belong together, and the command that makes those of the planned seeds."""

    title: str
    command: str
    runs: list[StudyRun]
    planned: int  # runs that the command makes
    seeds: int = NUM_SEEDS  # of the command, from 0 on
    lrs: tuple[float, ...] | None = None  # learning rates of the command; None where it does not change them

    @property
    def finished(self) -> int:
        """Number of the planned runs that are finished; runs of other seeds and rates are not counted."""
        planned = (run for run in self.runs if run.record.seed < self.seeds)
        return sum(self.lrs is None or run.lr in self.lrs for run in planned)

    @property
    def hours(self) -> float:
        """Hours of training of all finished runs."""
        return sum(run.record.train_seconds for run in self.runs) / 3600

    @property
    def minutes(self) -> float:
        """Minutes of training of a finished run, the median: a run that was stopped may have waited for hours."""
        return median(run.record.train_seconds for run in self.runs) / 60


class Study:
    """The finished runs of one protocol, and the values that the protocol trains today."""

    def __init__(self, records: Mapping[Path, Record], protocol: dict[str, Experiment]) -> None:
        """`protocol` has an experiment per name of a recipe; the modern one, of the end of the roadmap, is the last."""
        self.usual = list(protocol.values())[-1]
        self.runs = classify_runs(records, protocol)

    @property
    def epochs(self) -> int:
        """Epochs of the protocol."""
        return self.usual.recipe.epochs

    @property
    def size(self) -> str:
        """Size of the networks."""
        return self.usual.size

    def rows(self, epochs: int, networks: Iterable[str] | None = None) -> list[Row]:
        """Rows of the results table of the protocol at one length of training; of all networks by default."""
        runs = of_protocol(self.runs, epochs)
        chosen = runs if networks is None else of_network(runs, set(networks))
        return with_layout(build_rows(to_records(chosen)), self.layout(epochs))

    def layout(self, epochs: int) -> Layout:
        """The noise of one length of training, that of its published steps, and so the same in all of its tables."""
        steps = of_network(of_protocol(self.runs, epochs), set(main_path(self.size)))
        top1s = group_top1s(steps, lambda run: run.epochs)
        return build_layout(of_network[epochs] for of_network in top1s.values())

    def kernel_rows(self, epochs: int) -> list[Row]:
        """Rows of the sweep of kernel sizes at one length of training, the smallest size first."""
        rows = self.rows(epochs, filter(swept_kernel_size, self.networks(epochs)))
        return sorted(rows, key=lambda row: swept_kernel_size(row.name) or 0)

    def roadmap_rows(self, epochs: int) -> list[Row]:
        """`rows` of the published steps."""
        return self.rows(epochs, main_path(self.size))

    def roadmap_epochs(self) -> list[int]:
        """The lengths of training at which more than half of the published steps were run, ascending."""
        steps = main_path(self.size)
        lengths = sorted({run.epochs for run in of_protocol(self.runs)})
        return [epochs for epochs in lengths if len(self.networks(epochs) & set(steps)) > len(steps) / 2]

    def networks(self, epochs: int) -> set[str]:
        """The networks that were run with the protocol's recipe at one length of training."""
        return {run.network for run in of_protocol(self.runs, epochs)}

    def cells(self) -> dict[str, dict[int, list[float]]]:
        """The runs of the budget axis: network -> epochs -> top-1 of each seed."""
        found = group_top1s(of_protocol(self.runs), lambda run: run.epochs)
        return {name: found[name] for name in BUDGET_NETWORKS if name in found}

    @cached_property
    def _tuning(self) -> dict[str, dict[float, list[float]]]:
        """Network -> learning rate -> top-1 of each seed on the held-out images."""
        return group_top1s(held_out(self.runs, HELD_OUT_EPOCHS), lambda run: run.lr)

    def tuning_seeds(self) -> set[int]:
        """The numbers of seeds that stand behind a learning rate on the held-out images."""
        return {len(seeds) for rates in self._tuning.values() for seeds in rates.values()}

    def tuned_networks(self) -> list[str]:
        """The networks with any run on the held-out images, in roadmap order."""
        return [name for name in main_path(self.size) if name in self._tuning]

    @cached_property
    def best_rates(self) -> dict[str, BestRate]:
        """Each network's own best learning rate on the held-out images, in roadmap order.

        Empty until the recipe's rate and another one are tried.
        """
        in_order = {name: self._tuning[name] for name in self.tuned_networks()}
        usual = self.usual.recipe.lr
        found = best_rates(in_order, usual)
        return found if any(len(one.top1) > 1 and usual in one.top1 for one in found.values()) else {}

    @property
    def has_own_rates(self) -> bool:
        """Whether the best rate of any network is another one than the recipe's."""
        return any(one.lr != self.usual.recipe.lr for one in self.best_rates.values())

    def recipe_rows(self) -> tuple[list[Row], list[Row]]:
        """Rows of the tuned networks that were run: with one recipe for all, and each with its own best rate."""
        one_recipe = of_network(of_protocol(self.runs, self.epochs), set(self.best_rates))
        own_best = [run for one in self.best_rates.values() for run in at_rate(self.runs, one.network, one.lr)]
        left, right = ([row for row in build_rows(to_records(runs), True) if row.n] for runs in (one_recipe, own_best))
        layout = self.layout(self.epochs)
        return with_layout(left, layout), with_layout(right, layout)

    def without_step(self, step: str) -> list[StudyRun]:
        """The runs of the end of the roadmap without one of its steps."""
        model = network_hash(ablate(self.usual.model, END, self.size, [step]))
        runs = of_protocol(self.runs, self.epochs)
        modern = [run for run in runs if run.record.recipe == self.usual.recipe.name]
        return [run for run in modern if network_hash(run.record.config["model"]) == model]

    def end(self) -> list[float]:
        """Top-1 of each seed of the end of the roadmap."""
        return [run.top1 for run in of_network(of_protocol(self.runs, self.epochs), {END})]

    def without_steps(self) -> dict[str, list[float]]:
        """Step -> top-1 of each seed of the end without it; only steps with runs."""
        steps = network_steps(END, self.size)
        without = {step: [run.top1 for run in self.without_step(step)] for step in steps}
        return {step: top1s for step, top1s in without.items() if top1s}

    def leave_one_out(self) -> dict[str, Contrast]:
        """What each step is worth at the end of the roadmap: the end minus the end without the step.

        Empty until the end and two networks without a step were run.
        """
        end, without = self.end(), self.without_steps()
        if not end or len(without) < 2:
            return {}
        contrasts = compare_with(end, without, self.layout(self.epochs))
        return {
            step: contrast._replace(difference=contrast.difference.negated()) for step, contrast in contrasts.items()
        }

    def parts(self) -> list[Part]:
        """Every part, also without runs."""
        train, at_short = f"python train.py protocol={self.usual.protocol}", f"recipe.epochs={SHORT_EPOCHS}"
        path, steps, scales = set(main_path(self.size)), network_steps(END, self.size), set(LAYER_SCALES)
        full, short = of_protocol(self.runs, self.epochs), of_protocol(self.runs, SHORT_EPOCHS)
        kernels, short_kernels = ([run for run in runs if swept_kernel_size(run.network)] for runs in (full, short))
        budget = [run for epochs in BUDGET_EPOCHS for run in of_protocol(self.runs, epochs)]
        without = [run for step in steps for run in self.without_step(step)]
        leave_one_out = {run.record.hash: run for run in [*of_network(full, {END}), *without]}  # each run once

        rates = tuple(factor * self.usual.recipe.lr for factor in RATE_FACTORS)

        def part(title: str, study: str, runs: list[StudyRun], networks: int) -> Part:
            return Part(title, f"{train} +study={study} {SEEDS}", runs, NUM_SEEDS * networks)

        return [
            part("roadmap", "roadmap", of_network(full, path), len(path)),
            part(f"roadmap, {SHORT_EPOCHS} epochs", f"roadmap {at_short}", of_network(short, path), len(path)),
            part("kernel sizes", "kernels", kernels, KERNEL_SIZES),
            part(f"kernel sizes, {SHORT_EPOCHS} epochs", f"kernels {at_short}", short_kernels, KERNEL_SIZES),
            part(
                "budget axis",
                "budget",
                of_network(budget, set(BUDGET_NETWORKS)),
                len(BUDGET_NETWORKS) * len(BUDGET_EPOCHS),
            ),
            Part(
                "learning rates",
                f"{train} +study=learning_rate seed=0",
                held_out(self.runs, HELD_OUT_EPOCHS),
                len(rates) * (len(path) - 1),
                seeds=1,
                lrs=rates,
            ),
            *self._own_best_parts(train),
            part("Layer Scale", "layer_scale", of_network(full, scales), len(scales)),
            part(
                f"Layer Scale, {SHORT_EPOCHS} epochs", f"layer_scale {at_short}", of_network(short, scales), len(scales)
            ),
            part("leave-one-out", "leave_one_out", list(leave_one_out.values()), 1 + len(steps)),
        ]

    def _own_best_parts(self, train: str) -> list[Part]:
        """One part per learning rate that is the best of some networks and not the protocol's."""
        parts = []
        for lr in sorted({one.lr for one in self.best_rates.values()} - {self.usual.recipe.lr}):
            networks = [one.network for one in self.best_rates.values() if one.lr == lr]
            command = f"{train} -m +step={','.join(networks)} recipe.lr={lr:g} {SEEDS}"
            runs = [run for network in networks for run in at_rate(self.runs, network, lr)]
            parts.append(Part(f"own best learning rate {lr:g}", command, runs, NUM_SEEDS * len(networks)))
        return parts


def swept_kernel_size(network: str) -> int | None:
    """The kernel size of a network of the sweep; None for any other network."""
    if network in (KERNEL_BASE, "kernel_size"):
        return roadmap()[network].kernel_size
    match = re.fullmatch(rf"{KERNEL_BASE}\+kernel_size=(\d+)", network)
    return int(match[1]) if match else None
