"""Which step matters: path, leave-one-out, add-one-in and Shapley values of the steps, from runs of their combinations.

python scripts/attribution.py plan   --protocol digits --seeds 0,1 --runs 200     # what would be trained
python scripts/attribution.py run    --protocol digits --seeds 0,1 --runs 200     # trains it; what is done is found
python scripts/attribution.py report --protocol digits --seeds 0,1 --runs 200     # results/attribution/digits/
The budget counts all runs, done or not: --runs N, or --hours H, or --orders N of the steps. Overrides go last, as for
train.py: recipe.epochs=1 wandb=disabled runs=DIR. docs/attribution.md says what the numbers mean.
"""

import argparse
import os
import re
import sys
from itertools import islice
from pathlib import Path

import hydra

from modernet.attribution.measures import measures as attribution
from modernet.attribution.measures import design as combinations
from modernet.attribution.design import END, Budget, Found, Plan, Study
from modernet.errors import UserError, one_line
from modernet.config.experiment import from_config
from modernet.record import write_text
from modernet.attribution.shapley import antithetic
from modernet.config.schema import ModelConfig
from modernet.config.roadmap import CONFIGS

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
OURS = ("step", "without", "protocol", "seed", "hydra/launcher")  # what the overrides cannot say
MOST_ORDERS = 1000  # more would tell nothing new
SWEEP = 1000  # networks; Linux takes 128 KiB an argument
COMMANDS = ("plan", "run", "report")


def seeds(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise UserError(f"--seeds must be integers, 0 or more, as in 0,1,2, got {text!r}")
    return tuple(dict.fromkeys(map(int, text.split(","))))


def count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise UserError(f"--orders and --runs must be integers above 0, got {text!r}")
    return int(text)


def hours(text: str) -> float:
    if not re.fullmatch(r"\d*\.?\d+", text) or float(text) == 0:
        raise UserError(f"--hours must be a number above 0, got {text!r}")
    return float(text)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--protocol", default="digits")
    parser.add_argument("--seeds", type=seeds, default="0", help="as in 0,1,2")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--orders", type=count, help="of the steps, an even number: each comes with its reverse")
    budget.add_argument("--runs", type=count, help="as many orders as this many runs allow")
    budget.add_argument("--hours", type=hours, help="as many orders as they allow, by what finished runs took")
    parser.add_argument("--launcher", help="run: Hydra's, as in joblib or submitit_slurm")
    parser.add_argument("--out", type=Path, help="report: a folder; results/attribution/PROTOCOL unless told")
    parser.add_argument("overrides", nargs="*", help="as for train.py")
    arguments = parser.parse_intermixed_args()
    if arguments.orders and (arguments.orders % 2 or arguments.orders > MOST_ORDERS):
        raise UserError(f"--orders must be even and {MOST_ORDERS} at most, got {arguments.orders}")
    for override in arguments.overrides:
        if override.lstrip("+~").partition("=")[0] in OURS:
            raise UserError(f"{override} cannot be an override here; attribution itself says {', '.join(OURS)}")
    return arguments


def budget_of(arguments: argparse.Namespace, study: Study, found: Found) -> Budget:
    if arguments.runs:
        return Budget(arguments.runs, "runs", lambda network: len(study.seeds))
    if not arguments.hours:
        return Budget()

    def gmacs(network: ModelConfig) -> float:
        from modernet import cost  # and with it torch: other budgets need neither

        return cost(network, study.end.data.image_size, study.end.data.num_classes).gmacs

    seconds = combinations.seconds_per_run(found.done.values(), study.end, gmacs)
    return Budget(arguments.hours, "hours", lambda network: len(study.seeds) * seconds(network) / 3600)


def show(plan: Plan, found: Found, budget: Budget) -> None:
    """The plan in numbers; the budget's where it has one."""
    study, missing = plan.study, plan.missing(found)
    left = sum(map(len, missing.values()))
    runs = len(plan.distinct) * len(study.seeds)
    failed = [found.failed[one.hash] for lacking in missing.values() for one in lacking if one.hash in found.failed]
    print(f"{study.end.protocol}, size {study.end.size}, {study.end.variant}, seeds {','.join(map(str, study.seeds))}")
    print(f"path, leave-one-out, add-one-in, {2 * len(plan.pairs)} orders: {len(plan.distinct)} networks, {runs} runs")
    print(f"{runs - left} runs are done, {left} are not")
    if budget.unit:
        after = f"; the next two orders would take {plan.beyond:.4g}" if plan.beyond is not None else ""
        print(f"budget: {plan.spent:.4g} of {budget.limit:.4g} {budget.unit}{after}")
    for path in failed:
        print(f"failed, which retry_failed=true tries again: {path}")


def train(plan: Plan, found: Found, arguments: argparse.Namespace, retry: bool) -> None:
    """Become train.py: signals reach it, and its exit status is ours."""
    wanted = {
        coalition: runs
        for coalition, runs in plan.missing(found).items()
        if retry or not any(run.hash in found.failed for run in runs)
    }
    if not wanted:
        print("nothing is left to train")
        return
    lacking = [[name for name in plan.study.players if name not in coalition] for coalition in wanted]
    if len(lacking) > SWEEP:
        print(f"this sweep has {SWEEP} of {len(lacking)} networks; the same command goes on with the rest")
    command = [
        sys.executable,
        str(TRAIN),
        "--multirun",
        f"+step={END}",
        f"protocol={plan.study.end.protocol}",
        "ablate=" + ",".join(f"[{','.join(names)}]" for names in lacking[:SWEEP]),
        f"seed={','.join(map(str, plan.study.seeds))}",
        *([f"hydra/launcher={arguments.launcher}"] if arguments.launcher else []),
        *arguments.overrides,
    ]
    sys.stdout.flush()
    os.execv(sys.executable, command)


def report(plan: Plan, found: Found, out: Path) -> None:
    from modernet.figures.attribution import figure  # matplotlib takes a second
    from modernet.figures.style import save

    result = attribution.attribution(plan, found)
    if not result.records:
        raise UserError("none of these networks is done with every seed; `attribution.py run` trains them")
    for coalition, runs in plan.missing(found).items():
        names = ", ".join(str(run.seed) for run in runs)
        print(f"missing: {plan.study.shown(coalition)}, seed {names}", file=sys.stderr)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "attribution.md", attribution.markdown(result) + "\n")
    write_text(out / "attribution.json", attribution.to_json(result) + "\n")
    end = plan.study.end
    title = attribution.heading(end.protocol, end.size, plan.study.seeds, 2 * len(result.pairs))
    drawn = save(figure(result.rows, title), out / "attribution")
    for path in [out / "attribution.md", out / "attribution.json", *drawn]:
        print(path)


def main() -> None:
    arguments = parsed()
    # What Hydra is told of its launcher decides no result.
    science = [override for override in arguments.overrides if not override.lstrip("+~").startswith("hydra")]
    with hydra.initialize_config_dir(str(CONFIGS.resolve()), version_base="1.3"):
        config = hydra.compose("config", [f"+step={END}", f"protocol={arguments.protocol}", *science])
        study = Study(from_config(config), arguments.seeds)
    found = combinations.find(Path(config.runs) / arguments.protocol)
    for line in found.left_out:
        print(f"left out: {line}", file=sys.stderr)
    budget = budget_of(arguments, study, found)
    pairs = islice(antithetic(study.players), (arguments.orders or MOST_ORDERS) // 2)
    plan = combinations.plan(study, pairs, budget, found)
    if arguments.command == "report":
        report(plan, found, arguments.out or Path("results/attribution") / arguments.protocol)
        return
    show(plan, found, budget)
    if arguments.command == "plan":
        for coalition, runs in plan.missing(found).items():
            print(f"to train: {plan.study.shown(coalition)}, seed {', '.join(str(run.seed) for run in runs)}")
    else:
        train(plan, found, arguments, bool(config.retry_failed))


if __name__ == "__main__":
    with one_line():
        main()
