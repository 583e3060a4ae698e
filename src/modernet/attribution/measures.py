"""What each step adds to top-1 and to the cost of a network, by four measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log

from modernet.analysis.layout import Layout, build_layout
from modernet.analysis.stats import Difference, summarize
from modernet.analysis.table import top1s
from modernet.attribution.design import AttributionPlan, LoadedRuns
from modernet.attribution.shapley import Coalition, Pair, prefixes, shapley_values
from modernet.config.schema import ModelConfig
from modernet.record import Record

COST_TOLERANCE = 0.1  # relative change of GMACs or parameters above which a contribution is marked

# The measures by their names in JSON, with their titles.
MEASURES = {
    "path": "path",  # the step added to those before it on the roadmap
    "leave_one_out": "leave-one-out",  # the end minus the end without the step
    "add_one_in": "add-one-in",  # the start with the step minus the start
    "shapley": "Shapley",  # the step added to those before it in an order; mean over orders
}


@dataclass(frozen=True)
class Contribution:
    """What a step adds to top-1, in percentage points, and by which factors it changes the cost.

    None where runs are missing.
    """

    mean: float | None = None
    low: float | None = None  # ends of the 95 % confidence interval
    high: float | None = None
    gmacs: float | None = None  # after / before; the geometric mean over orders for Shapley
    params: float | None = None

    @property
    def changes_cost(self) -> bool:
        """Whether GMACs or parameters change by more than COST_TOLERANCE, so that size explains part of the gain."""
        return any(factor is not None and abs(factor - 1) > COST_TOLERANCE for factor in (self.gmacs, self.params))


@dataclass(frozen=True)
class AttributionRow:
    """One step and its contribution by each of MEASURES."""

    step: str
    contributions: dict[str, Contribution]


@dataclass(frozen=True)
class Attribution:
    """The result of a plan, as far as its runs are finished."""

    plan: AttributionPlan
    records: dict[ModelConfig, list[Record]]  # of the networks that are finished with every seed
    pairs: list[Pair]  # those of the plan whose networks are all finished
    rows: list[AttributionRow]  # in roadmap order
    layout: Layout  # of the finished networks; the differences between them are its planned contrasts


def build_attribution(plan: AttributionPlan, runs: LoadedRuns) -> Attribution:
    """The contributions of all steps."""
    design, network, records = plan.design, plan.networks.__getitem__, plan.complete(runs)
    layout = build_layout(map(top1s, records.values()))

    def is_finished(coalition: Coalition) -> bool:
        return network(coalition) in records

    def compare(after: Coalition, before: Coalition) -> Contribution:
        if not (is_finished(after) and is_finished(before)):
            return Contribution()
        if network(after) == network(before):
            return Contribution(0.0, 0.0, 0.0, 1.0, 1.0)
        with_step, without_step = records[network(after)], records[network(before)]
        gap = layout.compare(summarize(top1s(with_step)), summarize(top1s(without_step)))
        gmacs, params = with_step[0].gmacs / without_step[0].gmacs, with_step[0].params / without_step[0].params
        return Contribution(gap.mean, gap.low, gap.high, gmacs, params)

    pairs = [pair for pair in plan.pairs if all(is_finished(prefix) for order in pair for prefix in prefixes(order))]
    shapley = _shapley_contributions(pairs, network, records) if pairs else {}
    path = prefixes(design.players)
    rows = [
        AttributionRow(
            step,
            {
                "path": compare(path[index + 1], path[index]),
                "leave_one_out": compare(design.all_steps, design.all_steps - {step}),
                "add_one_in": compare(frozenset({step}), frozenset()),
                "shapley": shapley.get(step, Contribution()),
            },
        )
        for index, step in enumerate(design.players)
    ]
    return Attribution(plan, records, pairs, rows, layout)


def _shapley_contributions(
    pairs: list[Pair], network: Callable[[Coalition], ModelConfig], records: dict[ModelConfig, list[Record]]
) -> dict[str, Contribution]:
    """Shapley values of top-1, and of the logarithms of the costs, whose sums are products of factors."""

    def values_of(measure: Callable[[list[Record]], Sequence[float]]) -> dict[str, Difference]:
        return shapley_values(pairs, network, {key: measure(runs) for key, runs in records.items()})

    gmacs, params = values_of(lambda runs: [log(runs[0].gmacs)]), values_of(lambda runs: [log(runs[0].params)])
    return {
        step: Contribution(
            value.mean, value.low, value.high, exp(gmacs[step].mean or 0.0), exp(params[step].mean or 0.0)
        )
        for step, value in values_of(top1s).items()
    }
