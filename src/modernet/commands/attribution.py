"""Measure what each step adds: path, leave-one-out, add-one-in and Shapley values, from runs of combinations of steps.

modernet attribution plan   --protocol digits --seeds 0,1 --runs 200     # lists the runs that are missing
modernet attribution run    --protocol digits --seeds 0,1 --runs 200     # trains them; finished runs are skipped
modernet attribution report --protocol digits --seeds 0,1 --runs 200     # writes results/attribution/digits/
The budget counts all runs, finished or not: --runs N, or --hours H, or --orders N of the steps. Overrides come last, as
for train.py: recipe.epochs=3 wandb=disabled runs=DIR. docs/attribution.md explains the numbers.
"""

import argparse
import os
import re
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import hydra

from modernet.attribution import formatting
from modernet.attribution.design import (
    AttributionDesign,
    AttributionPlan,
    Budget,
    LoadedRuns,
    build_plan,
    build_time_model,
    load_runs,
)
from modernet.attribution.measures import build_attribution
from modernet.attribution.shapley import antithetic_pairs
from modernet.cli import exit_on_error
from modernet.config.experiment import build_experiment, initialize_hydra, set_fields
from modernet.config.roadmap import END
from modernet.config.schema import ModelConfig
from modernet.config.search_path import add_config_dir
from modernet.data.fingerprint import resolve_data
from modernet.errors import UserError
from modernet.runtime.io import write_text

RESERVED = ("step", "ablate", "protocol", "seed", "hydra/launcher")  # set by this command, so not by an override
MAX_ORDERS = 1000
MAX_NETWORKS = 1000  # per sweep; Linux allows 128 KiB per argument
ACTIONS = ("plan", "run", "report")


def _parse_seeds(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise UserError(f"--seeds must be integers, 0 or more, as in 0,1,2, got {text!r}")
    return tuple(dict.fromkeys(map(int, text.split(","))))


def _parse_count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise UserError(f"--orders and --runs must be integers above 0, got {text!r}")
    return int(text)


def _parse_hours(text: str) -> float:
    if not re.fullmatch(r"\d*\.?\d+", text) or float(text) == 0:
        raise UserError(f"--hours must be a number above 0, got {text!r}")
    return float(text)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("--protocol", default="digits")
    parser.add_argument("--end", metavar="STEP", default=END, help=f"the last of the steps; {END} by default")
    parser.add_argument("--seeds", type=_parse_seeds, default="0", help="as in 0,1,2; 0 by default")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--orders", type=_parse_count, help="number of orders of the steps, even: each has its reverse")
    budget.add_argument("--runs", type=_parse_count, help="as many orders as this number of runs allows")
    budget.add_argument("--hours", type=_parse_hours, help="as many orders as this time allows")
    parser.add_argument("--config-dir", metavar="DIR", type=add_config_dir, help="a folder with your own steps")
    parser.add_argument("--launcher", help="Hydra's launcher for `run`: local (the default), basic or slurm")
    parser.add_argument("--out", type=Path, help="the folder of `report`; results/attribution/PROTOCOL by default")
    parser.add_argument("overrides", nargs="*", help="as for train.py")
    arguments = parser.parse_intermixed_args()
    if arguments.orders and (arguments.orders % 2 or arguments.orders > MAX_ORDERS):
        raise UserError(f"--orders must be even and at most {MAX_ORDERS}, got {arguments.orders}")
    for override in arguments.overrides:
        name = override.lstrip("+~").partition("=")[0]
        if name in RESERVED:
            raise UserError(f"{override} cannot be an override; this command sets {', '.join(RESERVED)} itself")
    return arguments


def _compose(arguments: argparse.Namespace) -> tuple[AttributionDesign, Any]:
    """The design and the composed config of its end. Overrides of Hydra itself do not decide a result."""
    overrides = [override for override in arguments.overrides if not override.lstrip("+~").startswith("hydra")]
    with initialize_hydra():
        config = hydra.compose("config", [f"+step={arguments.end}", f"protocol={arguments.protocol}", *overrides])
        end = resolve_data(build_experiment(config))
        design = AttributionDesign(end, config.step, arguments.seeds, frozenset(set_fields(overrides)))
    if not design.players:
        raise UserError(f"--end must include a step that changes the network; {arguments.end} includes none")
    return design, config


def _build_budget(arguments: argparse.Namespace, design: AttributionDesign, runs: LoadedRuns) -> Budget:
    seeds, data = len(design.seeds), design.end.data
    num_classes = data.num_classes
    assert num_classes is not None, "resolve_data reads it from the files"
    if arguments.runs:
        return Budget(arguments.runs, "runs", lambda network: seeds)
    if not arguments.hours:
        return Budget()

    def count_gmacs(network: ModelConfig) -> float:
        from modernet.models.flops import model_cost  # imports torch, which other budgets do not need

        return model_cost(network, data.image_size, num_classes).gmacs

    estimate_seconds = build_time_model(runs.done.values(), design.end, count_gmacs)
    return Budget(arguments.hours, "hours", lambda network: seeds * estimate_seconds(network) / 3600)


def _print_plan(plan: AttributionPlan, runs: LoadedRuns, budget: Budget) -> None:
    design, end = plan.design, plan.design.end
    total = len(plan.distinct) * len(design.seeds)
    missing = [run for experiments in plan.missing(runs).values() for run in experiments]
    print(f"{end.protocol}, size {end.size}, {end.variant}, seeds {','.join(map(str, design.seeds))}")
    networks = len(plan.distinct)
    print(f"path, leave-one-out, add-one-in, {2 * len(plan.pairs)} orders: {networks} networks, {total} runs")
    print(f"{total - len(missing)} runs are finished, {len(missing)} are missing")
    if budget.unit:
        rest = f"; the next two orders would take {plan.next_cost:.4g}" if plan.next_cost is not None else ""
        print(f"budget: {plan.spent:.4g} of {budget.limit:.4g} {budget.unit}{rest}")
    for run in missing:
        if run.hash in runs.failed:
            print(f"failed; retry_failed=true trains it again: {runs.failed[run.hash]}")


def _print_missing(plan: AttributionPlan, runs: LoadedRuns, label: str, file: Any = None) -> None:
    for coalition, experiments in plan.missing(runs).items():
        seeds = ", ".join(str(run.seed) for run in experiments)
        print(f"{label}: {plan.design.describe(coalition)}, seed {seeds}", file=file)


def _train(plan: AttributionPlan, runs: LoadedRuns, arguments: argparse.Namespace, retry_failed: bool) -> None:
    """Replace this process by a sweep of train.py, so that signals reach the sweep and its exit status is ours."""
    wanted = [
        coalition
        for coalition, experiments in plan.missing(runs).items()
        if retry_failed or not any(run.hash in runs.failed for run in experiments)
    ]
    if not wanted:
        print("all runs are finished or failed")
        return
    design = plan.design
    ablations = [",".join(name for name in design.players if name not in coalition) for coalition in wanted]
    if len(ablations) > MAX_NETWORKS:
        print(f"this sweep has {MAX_NETWORKS} of {len(ablations)} networks; rerun the same command for the rest")
    command = [
        *(sys.executable, "-m", "modernet.commands.train", "--multirun"),
        f"+step={arguments.end}",
        f"protocol={arguments.protocol}",
        "ablate=" + ",".join(f"[{names}]" for names in ablations[:MAX_NETWORKS]),
        f"seed={','.join(map(str, design.seeds))}",
        *([f"hydra/launcher={arguments.launcher}"] if arguments.launcher else []),
        *arguments.overrides,
    ]
    sys.stdout.flush()
    os.execv(sys.executable, command)


def _write_report(plan: AttributionPlan, runs: LoadedRuns, folder: Path) -> None:
    """Write attribution.md, .json, .svg, .png and .pdf, and print their paths."""
    from modernet.figures.attribution import plot_attribution  # imports matplotlib, which takes a second
    from modernet.figures.axes import NotEnoughRuns
    from modernet.figures.svg import remove_figure, save_figure

    attribution = build_attribution(plan, runs)
    if not attribution.records:
        raise UserError("no network is finished with every seed; `attribution run` trains them")
    _print_missing(plan, runs, "missing", sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        folder / "attribution.md": formatting.to_markdown(attribution),
        folder / formatting.ATTRIBUTION_FILE: formatting.to_json(attribution),
    }
    for path, text in texts.items():
        write_text(path, text + "\n")
    end, orders = plan.design.end, 2 * len(attribution.pairs)
    title = formatting.attribution_title(end.protocol, end.size, plan.design.seeds, orders)
    figures: list[Path] = []
    try:
        coverage = formatting.shapley_coverage(orders, len(plan.design.seeds))
        figures = save_figure(plot_attribution(attribution.rows, title, coverage), folder / "attribution")
    except NotEnoughRuns as error:
        remove_figure(folder / "attribution")
        print(f"skipped: no figure: {error}", file=sys.stderr)
    print(*texts, *figures, sep="\n")


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        design, config = _compose(arguments)
        runs = load_runs(Path(config.runs) / design.end.protocol)
        for line in runs.excluded:
            print(f"excluded: {line}", file=sys.stderr)
        budget = _build_budget(arguments, design, runs)
        pairs = islice(antithetic_pairs(design.players), (arguments.orders or MAX_ORDERS) // 2)
        plan = build_plan(design, pairs, budget, runs)
        if arguments.action == "report":
            _write_report(plan, runs, arguments.out or Path("results/attribution") / arguments.protocol)
            return
        _print_plan(plan, runs, budget)
        if arguments.action == "plan":
            _print_missing(plan, runs, "to train")
        else:
            _train(plan, runs, arguments, bool(config.retry_failed))


if __name__ == "__main__":
    main()
