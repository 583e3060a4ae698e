"""Accuracy against the length of training, and where one network overtakes another."""

from collections.abc import Sequence
from itertools import combinations
from math import log2

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from modernet.analysis.budget import Cells, all_epochs, budget_layout
from modernet.analysis.crossing import Crossing, find_crossing
from modernet.analysis.layout import POOLED
from modernet.analysis.stats import summarize
from modernet.config.names import variant_name
from modernet.figures.axes import INTERVAL, NotEnoughRuns, add_legend_above, mean_label
from modernet.figures.style import GREY, PAGE, SERIES, VERMILLION, FigureFormat, new_figure, styled
from modernet.figures.svg import add_tooltips
from modernet.figures.tooltips import budget_tooltip, crossing_tooltip

DODGE = 0.03  # doublings between the marks of two networks at one number of epochs
MARGIN = 0.3  # doublings beside the first and the last number of epochs


@styled
def plot_budget(cells: Cells, title: str, *, form: FigureFormat = PAGE) -> Figure:
    """Top-1 against epochs of up to six networks. Raises NotEnoughRuns without two numbers of epochs."""
    chosen = _choose_networks(cells)
    if not chosen:
        raise NotEnoughRuns("no network was run for two numbers of epochs")
    names, epochs = list(chosen), all_epochs(chosen)
    found = [find_crossing(chosen, first, second) for first, second in combinations(names, 2)]
    crossings = [crossing for crossing in found if crossing is not None and crossing.epochs is not None]
    figure = new_figure(
        form,
        2.9 if form.is_column else 3.6,
        f"{title}: accuracy against the length of training",
        _caption(chosen, crossings),
    )
    axes = figure.subplots()
    for number, (look, name) in enumerate(zip(SERIES, names, strict=False)):
        _plot_network(axes, name, chosen, look, DODGE * (number - (len(names) - 1) / 2))
    limits = epochs[0] * 2**-MARGIN, epochs[-1] * 2**MARGIN
    for crossing in crossings:
        _plot_crossing(axes, chosen, crossing, limits)
    axes.set_xscale("log", base=2)
    axes.set_xlim(*limits)
    axes.set_xticks(epochs, [str(number) for number in epochs])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("epochs (logarithmic)")
    axes.set_ylabel(mean_label("top-1 (%)", _most_seeds(chosen) > 1, form))
    axes.grid()
    add_legend_above(axes, 2 if form.is_column else 3)
    return figure


def _choose_networks(cells: Cells) -> Cells:
    """Those with two numbers of epochs or more; of more than six, the six with the most, in the order of `cells`."""
    several = {name: of_network for name, of_network in cells.items() if len(of_network) > 1}
    most = sorted(several, key=lambda name: -len(several[name]))[: len(SERIES)]
    return {name: several[name] for name in several if name in most}


def _most_seeds(cells: Cells) -> int:
    return max(len(values) for of_network in cells.values() for values in of_network.values())


def _caption(cells: Cells, crossings: Sequence[Crossing]) -> str:
    runs = [len(values) for of_network in cells.values() for values in of_network.values()]
    seeds = str(min(runs)) if min(runs) == max(runs) else f"{min(runs)} to {max(runs)}"
    source = "the std pooled over all dots" if budget_layout(cells).test == POOLED else "the std of each dot"
    intervals = f". Error bars: {INTERVAL} of the mean (Student's t), from {source}" if max(runs) > 1 else ""
    crossed = (
        "Crosses: where the lines of two networks cross, linear in the logarithm of the epochs, with the 95 % interval "
        "of a bootstrap over seeds."
        if crossings
        else "No two lines cross."
    )
    text = "Dots: mean top-1 on the evaluation split after the last epoch; each dot is a training of this length."
    return f"{text} Seeds: {seeds}{intervals}. {crossed}"


def _plot_network(axes: Axes, name: str, cells: Cells, look: dict, shift: float) -> None:
    samples = {epochs: summarize(values) for epochs, values in sorted(cells[name].items())}
    layout = budget_layout(cells)
    intervals = [layout.interval(sample) or (sample.mean, sample.mean) for sample in samples.values()]
    top1 = np.array([sample.mean for sample in samples.values()])
    low, high = np.array(intervals).T
    x = np.array(list(samples)) * 2**shift
    bars = axes.errorbar(x, top1, yerr=[top1 - low, high - top1], **look, label=variant_name(name))
    texts = [budget_tooltip(name, epochs, sample, layout.interval(sample)) for epochs, sample in samples.items()]
    add_tooltips(bars[0], texts)


def _plot_crossing(axes: Axes, cells: Cells, crossing: Crossing, limits: tuple[float, float]) -> None:
    assert crossing.epochs is not None
    x = [log2(epochs) for epochs in crossing.budgets]
    means = [summarize(cells[crossing.first][epochs]).mean for epochs in crossing.budgets]
    height = float(np.interp(log2(crossing.epochs), x, means))
    if crossing.low is not None and crossing.high is not None:
        ends = max(crossing.low, limits[0]), min(crossing.high, limits[1])
        axes.plot(ends, [height, height], color=VERMILLION, linewidth=1.2, zorder=4)
    (mark,) = axes.plot(
        [crossing.epochs], [height], "X", color=VERMILLION, markersize=6, markeredgecolor=GREY, linestyle="", zorder=5
    )
    add_tooltips(mark, [crossing_tooltip(crossing)])
