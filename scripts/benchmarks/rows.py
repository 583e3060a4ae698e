"""Rows of results: the values of single rounds, and the medians, ranges, ratios and intervals computed from them."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from scipy.stats import quantile_test

Row = dict[str, Any]  # `rounds` has the values of single rounds, in order, by contestant or by field
SIGNIFICANT_DIGITS = 5  # of the values of single rounds; keeps the file small


def compare(what: str, unit: str, rates: Mapping[str, Sequence[float]], ours: str) -> Row:
    """The rates of contestants in every round, and their summary; `ours` names the numerator of the ratios."""
    return summarize({"what": what, "unit": unit, "ours": ours, "rounds": _with_few_digits(rates)})


def fields_of_rounds(values: Mapping[str, Sequence[float]]) -> Row:
    """Part of a row without contestants: the median of each field, and the values of every round."""
    rounds = _with_few_digits(values)
    return {**_medians(rounds), "rounds": rounds}


def summarize(row: Row) -> Row:
    """The row with a summary computed from its rounds; a row without `rounds`, of an older file, keeps the stored one.

    With contestants, the summary is the median and range of each rate, and the ratio of ours to each of the others: the
    median over rounds, with its 95 % confidence interval where there are enough rounds for one.
    """
    if "rounds" not in row:
        return row
    rounds = row["rounds"]
    if "ours" not in row:
        return row | _medians(rounds)
    ratios = {
        name: [a / b for a, b in zip(rounds[row["ours"]], theirs, strict=True)]
        for name, theirs in rounds.items()
        if name != row["ours"]
    }
    return row | {
        "rates": {name: {"median": median(v), "min": min(v), "max": max(v)} for name, v in rounds.items()},
        "ratios": {name: median(values) for name, values in ratios.items()},
        "intervals": {name: interval for name, values in ratios.items() if (interval := median_interval(values))},
    }


def median_interval(values: list[float]) -> list[float]:
    """The 95 % confidence interval of the median, from order statistics; empty for too few values."""
    interval = quantile_test(values, q=1, p=0.5).confidence_interval(0.95)
    ends = [float(interval.low), float(interval.high)]
    return ends if all(map(math.isfinite, ends)) else []


def _medians(rounds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in rounds.items()}


def _with_few_digits(values: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Rounded before the summary, so that the file's values give exactly the file's medians and ratios."""
    return {name: [float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in of_one] for name, of_one in values.items()}
