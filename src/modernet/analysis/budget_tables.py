"""Accuracy against the length of training as Markdown: cells, gaps, crossings, and the closing of the gaps."""

from collections.abc import Sequence
from itertools import combinations
from math import isinf

from modernet.analysis.budget import (
    Cells,
    Closing,
    all_epochs,
    budget_layout,
    build_gaps,
    common_epochs,
    fit_closing,
)
from modernet.analysis.crossing import Crossing, find_crossing
from modernet.analysis.formatting import (
    count_noun,
    format_difference,
    format_interval,
    format_p_equation,
    tabulate_text,
)
from modernet.analysis.layout import Layout
from modernet.analysis.stats import summarize

NOT_RUN = "not run"
FEWEST_FOR_A_LINE = 3  # numbers of epochs
FAR = 1000  # times the longest training: a zero beyond has no meaning as a number


def budget_table(cells: Cells) -> str:
    """Mean top-1, its interval and the number of seeds, per network and number of epochs."""
    budgets, layout = all_epochs(cells), budget_layout(cells)
    body = [
        [name, *(_format_cell(of_network.get(epochs), layout) for epochs in budgets)]
        for name, of_network in cells.items()
    ]
    return tabulate_text(["top-1 (%)", *map(format_epochs, budgets)], body)


def gap_table(cells: Cells) -> str:
    """The gap of each pair of networks, the later minus the earlier, per number of epochs."""
    budgets = all_epochs(cells)
    body = []
    for first, second in combinations(cells, 2):
        gaps = build_gaps(cells, first, second)
        texts = [format_difference(gaps[epochs]) if epochs in gaps else NOT_RUN for epochs in budgets]
        body.append([f"{second} - {first}", *texts])
    return tabulate_text(["gap (points)", *map(format_epochs, budgets)], body)


def crossing_table(cells: Cells) -> str:
    """Per pair with two common lengths: the crossing, the slope of the gap, its zero, and the ratio of the errors."""
    body = []
    for first, second in combinations(cells, 2):
        crossing, closing = find_crossing(cells, first, second), fit_closing(cells, first, second)
        if crossing is None or closing is None:
            continue
        slope = format_difference(closing.slope)
        ratios = error_ratios(cells, first, second)
        body.append([f"{second} - {first}", describe_crossing(crossing), slope, describe_closing(closing), ratios])
    lengths = ", ".join(map(str, all_epochs(cells)))
    headers = ["gap", "crossing", "points per doubling", "zero of the line", f"ratio of errors at {lengths} epochs"]
    return tabulate_text(headers, body) if body else ""


def format_epochs(epochs: int) -> str:
    """`1 epoch`, `2 epochs`."""
    return count_noun(epochs, "epoch")


def _format_cell(values: Sequence[float] | None, layout: Layout) -> str:
    if not values:
        return NOT_RUN
    sample = summarize(values)
    interval = format_interval(*(layout.interval(sample) or (None, None)))
    return " ".join(filter(None, [f"{sample.mean:.2f}", interval, f"n={sample.n}"]))


def describe_crossing(crossing: Crossing) -> str:
    """`none up to 18 epochs`, or the epochs with their interval, and the network that leads from there on."""
    smallest, largest = crossing.budgets[0], crossing.budgets[-1]
    leader = f"{crossing.leader} leads" if crossing.leader else "both are equal"
    if crossing.epochs is None:
        crossed = crossing.probability
        draws = "" if crossed is None else f"; {100 * crossed:.0f} % of the bootstrap's draws cross"
        return f"none up to {largest} epochs, where {leader}{draws}"
    interval = ""
    if crossing.low is not None and crossing.high is not None:
        low = f"below {smallest}" if crossing.low == 0 else f"{crossing.low:.1f}"
        high = f"above {largest}" if isinf(crossing.high) else f"{crossing.high:.1f}"
        interval = f" [{low}, {high}]"
    again = f"; {crossing.sign_changes} changes of the sign, this is the last" if crossing.sign_changes > 1 else ""
    return f"{crossing.epochs:.1f} epochs{interval}: {leader} from there on{again}"


def error_ratios(cells: Cells, first: str, second: str) -> str:
    """The error of the second network divided by that of the first, per number of epochs; "-" where one is unknown.

    Gaps of two curves that saturate shrink; the ratio shows whether one network gains on the other.
    """
    ratios = []
    common = common_epochs(cells, first, second)
    for epochs in all_epochs(cells):
        after, before = (
            100 - summarize(cells[name][epochs]).mean if epochs in common else 0.0 for name in (second, first)
        )
        ratios.append(f"{after / before:.2f}" if before else "-")
    return ", ".join(ratios)


def describe_closing(closing: Closing) -> str:
    """Where the line reaches zero, named an extrapolation where that is outside the budgets.

    Any two lengths lie on a line, so it needs three.
    """
    if len(closing.budgets) < FEWEST_FOR_A_LINE:
        return "needs three lengths"
    fit = "" if closing.lack_of_fit_p is None else f"; lack of fit {format_p_equation(closing.lack_of_fit_p)}"
    if closing.slope.low is not None and closing.slope.sign == 0:
        return f"undecided: the interval of the slope includes zero{fit}"
    if closing.zero is None:
        return "none: the gap does not close"
    limit = FAR * closing.budgets[-1]
    if closing.zero > limit:
        return f"none up to {limit:,} epochs"
    interval = ""
    if closing.zero_low is not None and closing.zero_high is not None:
        high = f"above {limit:,}" if closing.zero_high > limit else f"{closing.zero_high:,.1f}"
        interval = f" [{closing.zero_low:,.1f}, {high}]"
    kind = " by extrapolation" if closing.is_extrapolated else ""
    return f"{closing.zero:,.1f} epochs{interval}{kind}{fit}"
