"""Accuracy against the length of training as Markdown: cells, gaps, crossings, and the closing of the gaps."""

from collections.abc import Sequence
from itertools import combinations
from math import isinf

from tabulate import tabulate

from modernet.analysis.budget import MAX_EXPONENT, Cells, Closing, all_epochs, build_gaps, fit_closing
from modernet.analysis.crossing import Crossing, find_crossing
from modernet.analysis.formatting import format_difference, format_interval, format_p_equation
from modernet.analysis.stats import confidence_interval, summarize

NOT_RUN = "not run"


def markdown_table(headers: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text."""
    columns = ("left", *["right"] * (len(headers) - 1))
    return tabulate(body, headers, "github", disable_numparse=True, colalign=columns)


def budget_table(cells: Cells) -> str:
    """Mean top-1, its interval and the number of seeds, per network and number of epochs."""
    budgets = all_epochs(cells)
    body = [[name, *(_format_cell(of_network.get(epochs)) for epochs in budgets)] for name, of_network in cells.items()]
    return markdown_table(["top-1 (%)", *map(format_epochs, budgets)], body)


def gap_table(cells: Cells) -> str:
    """The gap of each pair of networks, the later minus the earlier, per number of epochs."""
    budgets = all_epochs(cells)
    body = []
    for first, second in combinations(cells, 2):
        gaps = build_gaps(cells, first, second)
        texts = [
            format_difference(gaps[epochs].mean, gaps[epochs].low, gaps[epochs].high) if epochs in gaps else NOT_RUN
            for epochs in budgets
        ]
        body.append([f"{second} - {first}", *texts])
    return markdown_table(["gap (points)", *map(format_epochs, budgets)], body)


def crossing_table(cells: Cells) -> str:
    """Per pair with two common lengths: the crossing, the slope of the gap, and where its line reaches zero."""
    body = []
    for first, second in combinations(cells, 2):
        crossing, closing = find_crossing(cells, first, second), fit_closing(cells, first, second)
        if crossing is None or closing is None:
            continue
        slope = format_difference(closing.slope.mean, closing.slope.low, closing.slope.high)
        body.append([f"{second} - {first}", describe_crossing(crossing), slope, describe_closing(closing)])
    headers = ["gap", "crossing", "points per doubling of the epochs", "zero of the line"]
    return markdown_table(headers, body) if body else ""


def format_epochs(epochs: int) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{epochs} epoch{'s' * (epochs != 1)}"


def _format_cell(values: Sequence[float] | None) -> str:
    if not values:
        return NOT_RUN
    sample = summarize(values)
    interval = format_interval(*(confidence_interval(sample) or (None, None)))
    return " ".join(filter(None, [f"{sample.mean:.2f}", interval, f"n={sample.n}"]))


def describe_crossing(crossing: Crossing) -> str:
    """`none up to 18 epochs`, or the epochs with their interval, and the network that leads from there on."""
    smallest, largest = crossing.budgets[0], crossing.budgets[-1]
    leader = f"{crossing.leader} leads" if crossing.leader else "both are equal"
    if crossing.epochs is None:
        draws = (
            "" if crossing.probability is None else f" (a crossing in {100 * crossing.probability:.0f} % of the draws)"
        )
        return f"none up to {largest} epochs{draws}: {leader} at {largest}"
    interval = ""
    if crossing.low is not None and crossing.high is not None:
        low = f"below {smallest}" if crossing.low == 0 else f"{crossing.low:.1f}"
        high = f"above {largest}" if isinf(crossing.high) else f"{crossing.high:.1f}"
        interval = f" [{low}, {high}]"
    again = f"; {crossing.sign_changes} changes of the sign, this is the last" if crossing.sign_changes > 1 else ""
    return f"{crossing.epochs:.1f} epochs{interval}: {leader} from there on{again}"


def describe_closing(closing: Closing) -> str:
    """Where the line reaches zero, named an extrapolation where that is outside the budgets."""
    if closing.zero is None:
        return "none: the gap does not close"
    if closing.slope.low is not None and not closing.is_decided:
        return "undecided: the interval of the slope includes zero"
    interval = ""
    if closing.zero_low is not None and closing.zero_high is not None:
        limit = 2**MAX_EXPONENT
        high = f"above {limit:,}" if closing.zero_high >= limit else f"{closing.zero_high:,.1f}"
        interval = f" [{closing.zero_low:,.1f}, {high}]"
    fit = "" if closing.lack_of_fit_p is None else f"; lack of fit {format_p_equation(closing.lack_of_fit_p)}"
    kind = " by extrapolation" if closing.is_extrapolated else ""
    return f"{closing.zero:,.1f} epochs{interval}{kind}{fit}"
