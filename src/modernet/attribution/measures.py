"""What each step of the roadmap adds, by four measures, from the records of combinations of steps."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import exp, log
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from pydantic import TypeAdapter
from tabulate import tabulate

from modernet.attribution.design import Found, Plan
from modernet.record import Record
from modernet.attribution.shapley import Coalition, Pair, prefixes, shapley
from modernet.config.schema import ModelConfig
from modernet.analysis.stats import Difference, difference, spread

COSTLY = 0.1  # a gain that changes GMACs or parameters by a larger part than this is marked
FEW_PAIRS = 10  # of orders: below, the report warns

# How the four are called where they are shown, and what they compare.
MEASURES = {
    "path": "path",  # the roadmap's own: the steps up to this one with those before it
    "leave_one_out": "leave-one-out",  # the end with the end without this step
    "add_one_in": "add-one-in",  # the start with this step with the start
    "shapley": "Shapley",  # the steps before this one in an order, with and without it; the mean over orders
}


@dataclass(frozen=True)
class Gain:
    """What a step adds to top-1, in points, with its 95 % interval, and what it multiplies the cost by.

    None where records are missing.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    gmacs: float | None = None  # after / before; of Shapley the geometric mean
    params: float | None = None

    @property
    def costly(self) -> bool:
        """Whether it is bought: by design alone, a step would change the cost by less than COSTLY."""
        return any(factor is not None and abs(factor - 1) > COSTLY for factor in (self.gmacs, self.params))


@dataclass(frozen=True)
class Row:
    """One step, and what it adds by each of MEASURES."""

    step: str
    gains: dict[str, Gain]


@dataclass(frozen=True)
class Attribution:
    """What follows from the records of a plan, as far as they are there."""

    plan: Plan
    records: dict[ModelConfig, list[Record]]  # of the networks that are done with every seed
    pairs: list[Pair]  # those of the plan all of whose networks are among them
    rows: list[Row]  # in roadmap order


def attribution(plan: Plan, found: Found) -> Attribution:
    study, network, records = plan.study, plan.networks.__getitem__, plan.complete(found)

    def done(coalition: Coalition) -> bool:
        return network(coalition) in records

    def gain(after: Coalition, before: Coalition) -> Gain:
        if not (done(after) and done(before)):
            return Gain()
        if network(after) == network(before):
            return Gain(0.0, 0.0, 0.0, 1.0, 1.0)
        here, there = records[network(after)], records[network(before)]
        change = difference(_top1(here), _top1(there))
        factors = here[0].gmacs / there[0].gmacs, here[0].params / there[0].params
        return Gain(change.mean, change.low, change.high, *factors)

    pairs = [pair for pair in plan.pairs if all(done(prefix) for order in pair for prefix in prefixes(order))]
    shares = _shares(pairs, network, records) if pairs else {}
    path = prefixes(study.players)
    rows = [
        Row(
            step,
            {
                "path": gain(path[place + 1], path[place]),
                "leave_one_out": gain(study.everyone, study.everyone - {step}),
                "add_one_in": gain(frozenset({step}), frozenset()),
                "shapley": shares.get(step, Gain()),
            },
        )
        for place, step in enumerate(study.players)
    ]
    return Attribution(plan, records, pairs, rows)


def _top1(runs: list[Record]) -> list[float]:
    return [run.top1 for run in runs if run.top1 is not None]


def _shares(
    pairs: list[Pair], network: Callable[[Coalition], ModelConfig], records: dict[ModelConfig, list[Record]]
) -> dict[str, Gain]:
    """Shapley values of top-1, and of the logarithms of what a network costs."""

    def of(values: Callable[[list[Record]], list[float]]) -> dict[str, Difference]:
        return shapley(pairs, network, {key: values(runs) for key, runs in records.items()})

    gmacs, params = of(lambda runs: [log(runs[0].gmacs)]), of(lambda runs: [log(runs[0].params)])
    return {
        step: Gain(share.mean, share.low, share.high, exp(gmacs[step].mean or 0.0), exp(params[step].mean or 0.0))
        for step, share in of(_top1).items()
    }


def notes(result: Attribution) -> list[str]:
    """How the numbers are to be read, a paragraph each."""
    said = [
        "Points of top-1, last epoch, mean over seeds. path: a step on top of those before it on the roadmap. "
        "leave-one-out: the end over the end without it. add-one-in: the start with it over the start. Shapley: a step "
        "on top of those before it in an order, mean over random orders. Path and Shapley each sum to end - start; the "
        "others need not, and all differ by how steps work together.",
        "Every network has the recipe of the end, so the start is `modern_recipe`. Any combination is a valid network, "
        "also where a step loses its sense: a kernel size without depthwise convolutions is that of dense ones.",
        f"A star: GMACs or parameters change by more than {COSTLY:.0%}, so the gain is one of size as well.",
        _intervals(len(result.pairs), len(result.plan.study.seeds)),
    ]
    if lacking := len(result.plan.pairs) - len(result.pairs):
        said += [f"Runs are missing: {lacking} of {len(result.plan.pairs)} pairs of orders are left out."]
    return said


def _intervals(pairs: int, seeds: int) -> str:
    """What the 95 % intervals hold, and what they cannot."""
    several_seeds = "95 % intervals of path, leave-one-out and add-one-in: Welch's, over seeds."
    said = [several_seeds if seeds > 1 else "One seed gives path, leave-one-out and add-one-in no interval."]
    if not pairs:
        return " ".join([*said, "No order is complete, so there is no Shapley value."])
    said += [f"Shapley values: {2 * pairs} orders, {pairs} at random and each backwards."]
    over = " and ".join(["seeds"] * (seeds > 1) + ["pairs of orders"] * (pairs > 1))
    said += [f"Their 95 % intervals: bootstrap over {over}." if over else "One pair and one seed give no interval."]
    if pairs == 1 and seeds > 1:
        said += ["One pair cannot tell how far other orders lead elsewhere, so these are too narrow."]
    if seeds == 1 and pairs > 1:
        said += ["The noise of the start's and the end's one run, which all orders share, is not in them."]
    if 1 < pairs < FEW_PAIRS:
        said += [f"{pairs} pairs are few: what an interval holds may be less than 95 %."]
    return " ".join(said)


def _effort(result: Attribution) -> tuple[int, float]:
    """Runs, and the hours that they trained."""
    runs = [run for runs in result.records.values() for run in runs]
    return len(runs), sum(run.train_seconds for run in runs) / 3600


def cell(gain: Gain) -> str:
    """Mean, interval, and a star where it is costly."""
    if gain.mean is None:
        return "not run"
    interval = f" [{gain.low:+.2f}, {gain.high:+.2f}]" if gain.low is not None else ""
    return f"{gain.mean:+.2f}{interval}{' *' if gain.costly else ''}"


def total(gains: Sequence[Gain]) -> str:
    """The sum of the means; empty where one is missing."""
    means = [gain.mean for gain in gains if gain.mean is not None]
    return f"{sum(means):+.2f}" if len(means) == len(gains) else ""


def heading(protocol: str, size: str, seeds: Sequence[int], orders: int) -> str:
    counted = f"{len(seeds)} seed{'s' * (len(seeds) > 1)}, {orders} orders"
    return f"What each step adds: {protocol}, size {size}, {counted}"


def factors(gain: Gain) -> str:
    """Of GMACs and parameters."""
    return f"{gain.gmacs:.2f}, {gain.params:.2f}" if gain.gmacs is not None else ""


def _table(headers: list[str], body: list[list[str]]) -> str:
    sides = ["left", *["right"] * (len(headers) - 1)]
    return tabulate(body, headers, "github", disable_numparse=True, colalign=sides)


def markdown(result: Attribution) -> str:
    """What each step adds, how to read it, what it costs, and every combination behind it."""
    study, rows = result.plan.study, result.rows
    seeds = f"seed{'s' * (len(study.seeds) > 1)} {', '.join(map(str, study.seeds))}"
    gains = [[row.step, *(cell(row.gains[measure]) for measure in MEASURES)] for row in rows]
    sums = ["sum", *(total([row.gains[measure] for row in rows]) for measure in MEASURES)]
    costs = [[row.step, *(factors(row.gains[measure]) for measure in MEASURES)] for row in rows]
    runs, hours = _effort(result)
    networks = []
    for network, same in result.records.items():
        deviation = spread(_top1(same))
        top1 = f"{mean(_top1(same)):.2f}" + (f" ± {deviation:.2f}" if deviation is not None else "")
        name = study.shown(result.plan.distinct[network])
        networks += [[name, str(len(same)), top1, f"{same[0].gmacs:.4f}", f"{same[0].params:,}"]]
    return "\n\n".join(
        [
            f"**What each step adds: {study.end.protocol}, size {study.end.size}, {study.end.variant}, {seeds}**",
            _table(["step", *MEASURES.values()], [*gains, sums]),
            *notes(result),
            "**What it multiplies GMACs and parameters by** (Shapley: the geometric mean over the orders)",
            _table(["step", *MEASURES.values()], costs),
            f"**The networks behind it** ({len(networks)}, trained in {runs} runs and {hours:.2f} hours)",
            _table(["combination", "n", "top-1 (%)", "GMACs", "parameters"], networks),
        ]
    )


def to_json(result: Attribution) -> str:
    """Everything: the rows, the orders, and each combination with its results by seed."""
    plan, study = result.plan, result.plan.study
    values = {
        "protocol": study.end.protocol,
        "size": study.end.size,
        "end": study.end.variant,
        "seeds": study.seeds,
        **dict(zip(("runs", "train_hours"), _effort(result), strict=True)),
        "steps": [
            {"step": row.step} | {name: asdict(gain) | {"costly": gain.costly} for name, gain in row.gains.items()}
            for row in result.rows
        ],
        "orders": [order for pair in result.pairs for order in pair],
        "incomplete_orders": [order for pair in plan.pairs if pair not in result.pairs for order in pair],
        "combinations": [
            {
                "steps": [name for name in study.players if name in plan.distinct[network]],
                "top1": _top1(runs),
                "gmacs": runs[0].gmacs,
                "params": runs[0].params,
            }
            for network, runs in result.records.items()
        ],
        "notes": notes(result),
    }
    return json.dumps(values, indent=1)


class Written(NamedTuple):
    """What `to_json` wrote, as far as a report shows it."""

    protocol: str
    size: str
    end: str
    seeds: list[int]
    runs: int
    train_hours: float
    rows: list[Row]
    orders: int
    notes: list[str]


READER = TypeAdapter(Written)


def read(path: Path) -> Written:
    """Raises OSError or ValueError for a file that `to_json` did not write."""
    values = json.loads(path.read_bytes())
    try:
        steps = [{"step": one["step"], "gains": {name: one[name] for name in MEASURES}} for one in values["steps"]]
        known = {name: values[name] for name in Written._fields if name != "rows"}
        return READER.validate_python({**known, "rows": steps, "orders": len(values["orders"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an attribution: {error}") from error
