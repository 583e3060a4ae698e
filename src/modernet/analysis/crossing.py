"""The length of training at which one network overtakes another, with its uncertainty by bootstrap over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, log2, sqrt

import numpy as np
from numpy.typing import NDArray

from modernet.analysis.budget import Cells, budget_layout, common_epochs
from modernet.analysis.stats import ALPHA, PooledStd, bootstrap_widening, satterthwaite

DRAWS = 2000  # of the bootstrap
SEED = 0


@dataclass(frozen=True)
class Crossing:
    """Where the gap between two networks changes its sign for the last time, between the tested numbers of epochs."""

    first: str
    second: str
    budgets: tuple[int, ...]  # numbers of epochs that were compared
    epochs: float | None  # None: the gap changes no sign between the first and the last of the budgets
    leader: str | None  # at the largest budget; None where both are equal
    sign_changes: int
    low: float | None = None  # ends of the 95 % interval in epochs: 0 below all budgets, infinity above all
    high: float | None = None
    probability: float | None = None  # of a crossing between the budgets, over the draws; None for single runs


def find_crossing(cells: Cells, first: str, second: str, draws: int = DRAWS) -> Crossing | None:
    """The crossing of two networks, linear in log2(epochs) between the budgets; None below two common budgets.

    The interval is that of draws of the runs within each cell, the same for the same runs. There is none where the
    noise is unknown: without a pooled standard deviation, that is so wherever a cell has a single run.
    """
    budgets = common_epochs(cells, first, second)
    if len(budgets) < 2:
        return None
    x = [log2(epochs) for epochs in budgets]
    values = [[np.array(cells[name][epochs], float) for epochs in budgets] for name in (first, second)]
    means = [[float(runs.mean()) for runs in of_network] for of_network in values]
    gaps = [after - before for before, after in zip(*means, strict=True)]
    crossings = _sign_changes(x, gaps)
    side = _last_sign(gaps)
    found = Crossing(
        first,
        second,
        tuple(budgets),
        2 ** crossings[-1] if crossings else None,
        (first, None, second)[int(np.sign(gaps[-1])) + 1],
        len(crossings),
    )
    pooled = budget_layout(cells).noise
    runs_of_cells = [runs for of_network in values for runs in of_network]
    if not pooled and (min(map(len, runs_of_cells)) < 2 or not any(map(np.ptp, runs_of_cells))):
        return found
    return _with_interval(found, x, _draw_gaps(values, pooled, draws), side)


def _last_sign(gaps: Sequence[float]) -> int:
    """The sign of the last gap that is not zero; 0 where there is none."""
    return next((int(np.sign(gap)) for gap in reversed(gaps) if gap), 0)


def _sign_changes(x: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """Where linear interpolation between the gaps changes its sign.

    Equal networks between two signs cross in the middle of the equal budgets; a gap that touches zero and returns, or
    ends there, does not cross.
    """
    crossings = []
    signed = [index for index, gap in enumerate(gaps) if gap]
    for left, right in pairwise(signed):
        if gaps[left] * gaps[right] > 0:
            continue
        if right - left > 1:
            crossings.append((x[left + 1] + x[right - 1]) / 2)
        else:
            fraction = gaps[left] / (gaps[left] - gaps[right])
            crossings.append(x[left] + fraction * (x[right] - x[left]))
    return crossings


def _draw_gaps(
    values: Sequence[Sequence[NDArray[np.float64]]], pooled: PooledStd | None, draws: int
) -> NDArray[np.float64]:
    """(draws, budgets): gaps of means of runs that are drawn with replacement within each cell.

    A draw takes n - 1 of n runs, so that the drawn means have the variance of the estimate (McCarthy and Snowden
    1985). Three runs know little about their noise: the deviations of a cell are scaled to the pooled standard
    deviation, where there is one, and widened by the ratio of Student's t to the normal distribution. A cell of one
    run, or of equal ones, has the pooled noise too, normally distributed.
    """
    rng = np.random.default_rng(SEED)
    cells = [runs for of_network in values for runs in of_network]
    widening = bootstrap_widening(
        pooled.freedom if pooled else satterthwaite((runs.var(ddof=1) / len(runs), len(runs) - 1) for runs in cells)
    )

    def draw(runs: NDArray[np.float64]) -> NDArray[np.float64]:
        std = runs.std(ddof=1) if len(runs) > 1 else 0.0
        if pooled and not std:
            deviations = rng.standard_normal(draws) * pooled.std / sqrt(len(runs))
        else:
            drawn = runs[rng.integers(len(runs), size=(draws, len(runs) - 1))].mean(axis=1)
            deviations = (drawn - runs.mean()) * (pooled.std / std if pooled else 1.0)
        return runs.mean() + widening * deviations

    before, after = ([draw(runs) for runs in of_network] for of_network in values)
    return (np.array(after) - np.array(before)).T


def _with_interval(found: Crossing, x: Sequence[float], gaps: NDArray[np.float64], side: int) -> Crossing:
    """The crossing with the interval of the draws; `side` is the sign of the gap at the largest budget.

    A draw with the other sign at the largest budget crosses later than the budgets say, and one without a change of
    sign earlier.
    """
    drawn = []
    is_inside = 0
    for row in gaps.tolist():
        crossings = _sign_changes(x, row)
        is_inside += bool(crossings)
        drawn.append(inf if _last_sign(row) != side else crossings[-1] if crossings else -inf)
    probability = is_inside / len(gaps)
    if found.epochs is None:
        return replace(found, probability=probability)
    low = float(np.quantile(drawn, ALPHA / 2, method="lower"))
    high = float(np.quantile(drawn, 1 - ALPHA / 2, method="higher"))
    return replace(found, low=2**low, high=2**high, probability=probability)
