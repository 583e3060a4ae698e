"""Network or recipe: each network's own best learning rate, and the steps whose sign depends on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from modernet.analysis.row import Row


@dataclass(frozen=True)
class BestRate:
    """The learning rate with the highest top-1 on images held out of train."""

    network: str
    lr: float
    top1: dict[float, float]  # learning rate -> mean over seeds in percent, ascending rates
    is_tied: bool  # another rate has the same top-1; the usual rate, or else the lowest, stands for them
    is_at_edge: bool  # the lowest or the highest rate that was tried, so a better one may lie outside

    @property
    def best(self) -> float:
        """Top-1 at the best rate in percent."""
        return self.top1[self.lr]


@dataclass(frozen=True)
class SignChange:
    """A step whose difference to the step before has another sign with each network's own best rate."""

    one_recipe: Row
    own_best: Row


def best_rates(results: Mapping[str, Mapping[float, Sequence[float]]], usual: float) -> dict[str, BestRate]:
    """Network -> its best rate, from network -> learning rate -> top-1 of each seed on the held-out images.

    Networks without all rates that any network has are omitted: each needs the same tuning budget.
    """
    tried = {rate for rates in results.values() for rate in rates}
    best = {}
    for network, rates in results.items():
        if rates.keys() != tried:
            continue
        top1 = {rate: mean(rates[rate]) for rate in sorted(tried)}
        winners = [rate for rate, value in top1.items() if value == max(top1.values())]
        lr = usual if usual in winners else winners[0]
        is_at_edge = len(tried) > 1 and lr in (min(tried), max(tried))
        best[network] = BestRate(network, lr, top1, len(winners) > 1, is_at_edge)
    return best


def sign_changes(one_recipe: Sequence[Row], own_best: Sequence[Row]) -> list[SignChange]:
    """The steps whose difference to the step before is positive in one table and negative in the other."""
    others = {row.variant: row for row in own_best}
    changed = []
    for row in one_recipe:
        other = others.get(row.variant)
        if other is None or row.difference is None or other.difference is None:
            continue
        if row.difference * other.difference < 0:
            changed.append(SignChange(row, other))
    return changed
