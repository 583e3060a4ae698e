"""An attribution as markdown and JSON, with notes on how to read it; and back from JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from modernet.analysis.formatting import (
    count_noun,
    format_interval,
    format_p_equation,
    format_sample,
    format_std_tests,
    tabulate_text,
)
from modernet.analysis.layout import WELCH, estimate_seed_effect
from modernet.analysis.stats import summarize
from modernet.analysis.table import by_seed, top1s
from modernet.attribution.measures import (
    COST_TOLERANCE,
    MEASURES,
    Attribution,
    AttributionRow,
    Contribution,
)
from modernet.config.names import study_name
from modernet.runtime.text import describe

ATTRIBUTION_FILE = "attribution.json"
FEW_PAIRS = 10  # of orders; with fewer, a note warns


def format_contribution(contribution: Contribution) -> str:
    """Mean in percentage points, confidence interval, and a star where the cost changes."""
    if contribution.mean is None:
        return "not run"
    interval = format_interval(contribution.low, contribution.high, "+")
    star = "*" if contribution.changes_cost else ""
    return " ".join(filter(None, [f"{contribution.mean:+.2f}", interval, star]))


def format_total(contributions: Sequence[Contribution]) -> str:
    """The sum of the means; empty where one is missing."""
    means = [contribution.mean for contribution in contributions if contribution.mean is not None]
    return f"{sum(means):+.2f}" if len(means) == len(contributions) else ""


def format_cost_factors(contribution: Contribution) -> str:
    """The factors of GMACs and parameters; empty where runs are missing."""
    return f"{contribution.gmacs:.2f}, {contribution.params:.2f}" if contribution.gmacs is not None else ""


def attribution_title(protocol: str, size: str, seeds: Sequence[int], orders: int) -> str:
    """A title for figures and pages."""
    return f"{study_name(protocol, size)}: what each step adds; {count_noun(len(seeds), 'seed')}, {orders} orders"


def notes(attribution: Attribution) -> list[str]:
    """How to read the numbers, a paragraph each."""
    paragraphs = [
        "Percentage points of top-1 after the last epoch, mean over seeds. path: the step added to those before it on "
        "the roadmap. leave-one-out: the end minus the end without the step. add-one-in: the start with the step minus "
        "the start. Shapley: the step added to those before it in an order, mean over random orders. Path and Shapley "
        "each sum to end - start. The others need not, and the measures differ where steps interact.",
        "Every network is trained with the recipe of the end, so the start of the published roadmap is "
        "modern_recipe. Every combination is a valid network, even where a step loses its purpose: a kernel size "
        "without depthwise convolutions is that of dense ones.",
        f"A star: GMACs or parameters change by more than {COST_TOLERANCE:.0%}, so size explains part of the gain.",
        f"{_difference_note(attribution)} {_shapley_note(len(attribution.pairs), len(attribution.plan.design.seeds))}",
    ]
    planned = len(attribution.plan.pairs)
    if incomplete := planned - len(attribution.pairs):
        paragraphs.append(f"Runs are missing: {incomplete} of {planned} pairs of orders are omitted.")
    return paragraphs


def _difference_note(attribution: Attribution) -> str:
    """The confidence intervals of the measures that are differences of two networks, and the noise behind them."""
    layout, records = attribution.layout, attribution.records.values()
    measures = "path, leave-one-out and add-one-in"
    if layout.pooled is None or layout.test is None:
        reason = "With one seed" if len(attribution.plan.design.seeds) == 1 else "Without differences between seeds"
        return f"{reason}, {measures} have no confidence interval."
    tests = format_std_tests(layout.brown_forsythe_p, layout.bartlett_p)
    if layout.test == WELCH:
        method = f"by Welch's test, because the std of the networks is unequal ({tests})"
    else:
        method = (
            f"from the std of the runs, pooled over all {layout.networks} networks: {layout.pooled.std:.2f} with "
            f"{layout.pooled.freedom} degrees of freedom ({tests})"
        )
    sentences = [f"95 % confidence intervals of {measures}: {method}."]
    effect = estimate_seed_effect(map(by_seed, records))
    if effect:
        p = format_p_equation(effect.p)
        sentences.append(
            f"Correlation of runs with the same seed: {effect.correlation:.2f} ({p}); they are not paired."
        )
    return " ".join(sentences)


def _shapley_note(pairs: int, seeds: int) -> str:
    """What the confidence intervals of Shapley values cover, and what they cannot."""
    if not pairs:
        return "No order is complete, so there is no Shapley value."
    sentences = [f"Shapley values: {2 * pairs} orders ({pairs} at random, each with its reverse)."]
    sources = " and ".join(["seeds"] * (seeds > 1) + ["pairs of orders"] * (pairs > 1))
    if sources:
        sentences.append(f"Their 95 % confidence intervals: bootstrap over {sources}.")
    else:
        sentences.append("With one pair and one seed, they have no confidence interval.")
    return " ".join([*sentences, *shapley_coverage(2 * pairs, seeds)])


def shapley_coverage(orders: int, seeds: int) -> list[str]:
    """What the confidence intervals of Shapley values miss, in sentences; empty where they are as wide as they say."""
    pairs, sentences = orders // 2, []
    if pairs == 1 and seeds > 1:
        sentences.append("One pair cannot show the variation among orders, so these intervals are too narrow.")
    if seeds == 1 and pairs > 1:
        sentences.append("They do not cover the noise of the single runs of start and end, common to all orders.")
    if 1 < pairs < FEW_PAIRS:
        sentences.append(f"{pairs} pairs are few: the coverage may be below 95 %.")
    return sentences


def _effort(attribution: Attribution) -> tuple[int, float]:
    """Number of runs and their hours of training."""
    runs = [run for runs in attribution.records.values() for run in runs]
    return len(runs), sum(run.train_seconds for run in runs) / 3600


def _network_cells(attribution: Attribution) -> list[list[str]]:
    cells = []
    for network, runs in attribution.records.items():
        name = attribution.plan.design.describe(attribution.plan.distinct[network])
        top1 = format_sample(summarize(top1s(runs)))
        cells.append([name, str(len(runs)), top1, f"{runs[0].gmacs:.4f}", f"{runs[0].params:,}"])
    return cells


def to_markdown(attribution: Attribution) -> str:
    """Contributions, notes, cost factors, and every network that was trained."""
    design, rows = attribution.plan.design, attribution.rows
    end, seeds = design.end, ", ".join(map(str, design.seeds))
    heading = f"{end.protocol}, size {end.size}, {end.variant}, seed{'s' * (len(design.seeds) > 1)} {seeds}"
    gains = [[row.step, *(format_contribution(row.contributions[name]) for name in MEASURES)] for row in rows]
    sums = ["sum", *(format_total([row.contributions[name] for row in rows]) for name in MEASURES)]
    factors = [[row.step, *(format_cost_factors(row.contributions[name]) for name in MEASURES)] for row in rows]
    networks = _network_cells(attribution)
    runs, hours = _effort(attribution)
    return "\n\n".join(
        [
            f"**What each step adds: {heading}**",
            tabulate_text(["step", *MEASURES.values()], [*gains, sums]),
            *notes(attribution),
            "**Factors of GMACs and parameters** (Shapley: the geometric mean over the orders)",
            tabulate_text(["step", *MEASURES.values()], factors),
            f"**Networks** ({len(networks)}, trained in {runs} runs and {hours:.2f} hours)",
            tabulate_text(["combination", "n", "top-1 (%)", "GMACs", "parameters"], networks),
        ]
    )


def _row_values(row: AttributionRow) -> dict[str, object]:
    contributions = {
        name: asdict(contribution) | {"changes_cost": contribution.changes_cost}
        for name, contribution in row.contributions.items()
    }
    return {"step": row.step, **contributions}


def to_json(attribution: Attribution) -> str:
    """Everything: the rows, the orders, and each combination with its results by seed."""
    plan, design = attribution.plan, attribution.plan.design
    runs, hours = _effort(attribution)
    values = {
        "protocol": design.end.protocol,
        "size": design.end.size,
        "end": design.end.variant,
        "seeds": design.seeds,
        "runs": runs,
        "train_hours": hours,
        "steps": list(map(_row_values, attribution.rows)),
        "orders": [order for pair in attribution.pairs for order in pair],
        "incomplete_orders": [order for pair in plan.pairs if pair not in attribution.pairs for order in pair],
        "combinations": [
            {
                "steps": [name for name in design.players if name in plan.distinct[network]],
                "top1": top1s(records),
                "gmacs": records[0].gmacs,
                "params": records[0].params,
            }
            for network, records in attribution.records.items()
        ],
        "notes": notes(attribution),
    }
    return json.dumps(values, indent=1)


class LoadedAttribution(NamedTuple):
    """The parts of an attribution.json that a report shows."""

    protocol: str
    size: str
    end: str
    seeds: list[int]
    runs: int
    train_hours: float
    rows: list[AttributionRow]
    orders: int
    notes: list[str]


_ADAPTER = TypeAdapter(LoadedAttribution)


def load_attribution(path: Path) -> LoadedAttribution:
    """Read what `to_json` wrote. Raises OSError or ValueError for any other file."""
    try:
        values = json.loads(path.read_bytes())
        steps = [
            {"step": row["step"], "contributions": {name: row[name] for name in MEASURES}} for row in values["steps"]
        ]
        known = {name: values[name] for name in LoadedAttribution._fields if name != "rows"}
        return _ADAPTER.validate_python({**known, "rows": steps, "orders": len(values["orders"])})
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"not an attribution: {'.'.join(map(str, fault['loc']))} {fault['msg']}") from error
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an attribution: {describe(error)}") from error
