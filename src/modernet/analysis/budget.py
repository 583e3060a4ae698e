"""Accuracy against the length of training: gaps between networks, and the straight line by which a gap closes."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2, sqrt

from scipy.special import fdtrc  # scipy.stats takes most of a second to import

from modernet.analysis.layout import Layout, build_layout
from modernet.analysis.row import Group, group_of, network_name, split_variant
from modernet.analysis.settings import settings_but_epochs
from modernet.analysis.stats import Difference, Sample, estimated_difference, satterthwaite, summarize, t_quantile
from modernet.config.roadmap import roadmap
from modernet.record import Record

Cells = Mapping[str, Mapping[int, Sequence[float]]]  # network -> epochs -> top-1 of each seed, percent

MAX_EXPONENT = 20  # of an extrapolation, in log2(epochs); a later zero is of no use, and could overflow


@dataclass(frozen=True)
class Closing:
    """A gap as a straight line in log2(epochs), by least squares with the number of runs as weights."""

    budgets: tuple[int, ...]  # numbers of epochs, ascending
    slope: Difference  # points per doubling of the epochs
    zero: float | None  # epochs at which the line is zero; None where the gap does not shrink with the epochs
    # The ends of its 95 % interval in epochs (Fieller 1954), which has the noise of the runs, and no doubt of the line.
    zero_low: float | None
    zero_high: float | None
    lack_of_fit_p: float | None  # of a straight line; None below three budgets, or where the noise is unknown

    @property
    def is_extrapolated(self) -> bool:
        """Whether the line is zero outside the numbers of epochs that it was fitted to."""
        return self.zero is not None and not self.budgets[0] <= self.zero <= self.budgets[-1]


def budget_cells(records: Iterable[Record], group: Group) -> dict[str, dict[int, list[float]]]:
    """The cells of the runs of a group, and of those that differ from it in `recipe.epochs` alone, each run once.

    Networks that were trained for one number of epochs are omitted.
    """
    members = [
        record
        for record in records
        if (record.protocol, record.size) == (group.protocol, group.size)
        and record.top1 is not None
        and re.fullmatch(r"(recipe\.epochs=\d+)?", split_variant(record.variant)[2])
    ]
    if len({record.epochs for record in members}) < 2:
        return {}
    settings = [(network_name(record.variant), settings_but_epochs(record)) for record in members]
    usual = {of_record for record, of_record in zip(members, settings, strict=True) if group_of(record) == group}
    names, texts = {name for name, _ in usual}, {text for _, text in usual}
    comparable = {
        record.hash: record
        for record, (name, text) in zip(members, settings, strict=True)
        if ((name, text) in usual if name in names else text in texts)
    }
    cells: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in sorted(comparable.values(), key=lambda record: record.seed):
        cells[network_name(record.variant)][record.epochs].append(record.top1)  # pyright: ignore
    several = {name: dict(sorted(of_network.items())) for name, of_network in cells.items() if len(of_network) > 1}
    return sort_networks(several, group.size)


def sort_networks(cells: Mapping[str, dict[int, list[float]]], size: str) -> dict[str, dict[int, list[float]]]:
    """The cells in roadmap order."""
    order = list(roadmap(size))
    return dict(sorted(cells.items(), key=lambda item: (order.index(split_variant(item[0])[0]), item[0])))


def all_epochs(cells: Cells) -> list[int]:
    """Every number of epochs that any network was trained for, ascending."""
    return sorted({epochs for of_network in cells.values() for epochs in of_network})


def common_epochs(cells: Cells, first: str, second: str) -> list[int]:
    """The numbers of epochs that both networks were trained for, ascending."""
    return sorted(set(cells.get(first, {})) & set(cells.get(second, {})))


def budget_layout(cells: Cells) -> Layout:
    """The layout of all cells: their noise is pooled over networks and numbers of epochs."""
    return build_layout(values for of_network in cells.values() for values in of_network.values())


def build_gaps(cells: Cells, first: str, second: str) -> dict[int, Difference]:
    """Top-1 of the second network minus that of the first, where both were trained; planned contrasts."""
    layout = budget_layout(cells)
    return {
        epochs: layout.compare(summarize(cells[second][epochs]), summarize(cells[first][epochs]))
        for epochs in common_epochs(cells, first, second)
    }


def fit_closing(cells: Cells, first: str, second: str) -> Closing | None:
    """The line through the gaps of two networks; None below two numbers of epochs.

    The noise of the slope is that of the runs: the pooled standard deviation, or that of each cell where the layout
    falls back to Welch's test (degrees of freedom by Satterthwaite).
    """
    budgets = common_epochs(cells, first, second)
    if len(budgets) < 2:
        return None
    layout = budget_layout(cells)
    pairs = [(summarize(cells[second][epochs]), summarize(cells[first][epochs])) for epochs in budgets]
    x = [log2(epochs) for epochs in budgets]
    gaps = [after.mean - before.mean for after, before in pairs]
    weights = [1 / (1 / after.n + 1 / before.n) for after, before in pairs]
    total = sum(weights)
    center = sum(weight * value for weight, value in zip(weights, x, strict=True)) / total
    level = sum(weight * gap for weight, gap in zip(weights, gaps, strict=True)) / total
    spread = sum(weight * (value - center) ** 2 for weight, value in zip(weights, x, strict=True))
    coefficients = [weight * (value - center) / spread for weight, value in zip(weights, x, strict=True)]
    slope = sum(coefficient * gap for coefficient, gap in zip(coefficients, gaps, strict=True))
    residual = sum(
        weight * (gap - level - slope * (value - center)) ** 2
        for weight, gap, value in zip(weights, gaps, x, strict=True)
    )
    zero = _zero_of_line(slope, level - slope * center, gaps[0])
    low, high = _fieller(level, slope, 1 / total, 1 / spread, layout) if zero is not None else (None, None)
    return Closing(
        tuple(budgets),
        _slope_difference(slope, coefficients, pairs, layout),
        zero,
        None if low is None else 2 ** min(center + low, MAX_EXPONENT),
        None if high is None else 2 ** min(center + high, MAX_EXPONENT),
        _lack_of_fit(residual, len(budgets), layout),
    )


def _zero_of_line(slope: float, intercept: float, first_gap: float) -> float | None:
    """Epochs at which the line is zero; None where the line leads away from zero."""
    if not slope or slope * first_gap >= 0:
        return None
    return 2 ** min(-intercept / slope, MAX_EXPONENT)


def _fieller(
    level: float, slope: float, level_variance: float, slope_variance: float, layout: Layout
) -> tuple[float, float] | tuple[None, None]:
    """Both ends of the interval of the zero of `level + slope * d`; None where it is unbounded or the noise unknown.

    The variances are in units of that of a run; level and slope are uncorrelated at the weighted center.
    """
    if layout.noise is None:
        return None, None
    square = (t_quantile(layout.noise.freedom) * layout.noise.std) ** 2
    a, b, c = slope**2 - square * slope_variance, level * slope, level**2 - square * level_variance
    if a <= 0:
        return None, None
    root = sqrt(max(b**2 - a * c, 0.0))
    return (-b - root) / a, (-b + root) / a


def _slope_difference(
    slope: float, coefficients: Sequence[float], pairs: Sequence[tuple[Sample, Sample]], layout: Layout
) -> Difference:
    """The slope with its interval by Student's t; without one where the noise is unknown."""
    samples = [(coefficient, sample) for coefficient, pair in zip(coefficients, pairs, strict=True) for sample in pair]
    if layout.noise is not None:
        variance = sum(coefficient**2 / sample.n for coefficient, sample in samples) * layout.noise.std**2
        return estimated_difference(slope, variance, layout.noise.freedom)
    if layout.test is None or any(sample.std is None for coefficient, sample in samples if coefficient):
        return Difference(slope)
    terms = [(coefficient**2 * (sample.std or 0) ** 2 / sample.n, sample.n - 1) for coefficient, sample in samples]
    return estimated_difference(slope, sum(variance for variance, _ in terms), satterthwaite(terms))


def _lack_of_fit(residual: float, budgets: int, layout: Layout) -> float | None:
    if budgets < 3 or layout.noise is None:
        return None
    return float(fdtrc(budgets - 2, layout.noise.freedom, residual / (budgets - 2) / layout.noise.std**2))
