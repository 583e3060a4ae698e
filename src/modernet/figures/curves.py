"""Learning curves: accuracy after each epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modernet.figures.axes import NotEnoughRuns
from modernet.figures.style import SERIES, new_figure, styled
from modernet.figures.svg import add_tooltips
from modernet.figures.tooltips import curve_tooltips
from modernet.record import METRICS_FILE, Record, load_epochs

Curves = dict[str, list[list[float]]]  # variant -> top-1 in percent, [run][epoch]


def load_curves(records: Mapping[Path, Record], variants: Sequence[str]) -> tuple[Curves, list[str]]:
    """Top-1 after each epoch of the runs of these variants, and one line for each run without readable metrics."""
    curves: Curves = {variant: [] for variant in variants}
    skipped = []
    for path, record in records.items():
        if record.variant in curves:
            try:
                curves[record.variant].append([epoch["top1"] for epoch in load_epochs(path)])
            except (OSError, ValueError) as error:
                skipped.append(f"{path.with_name(METRICS_FILE)}: {error}")
    return {variant: runs for variant, runs in curves.items() if runs}, skipped


@styled
def plot_curves(curves: Mapping[str, Sequence[Sequence[float]]], title: str) -> Figure:
    """The mean over seeds and the range per variant. Raises NotEnoughRuns without curves, or with too many.

    Runs of one variant are compared up to the last epoch that all of them have.
    """
    if not curves:
        raise NotEnoughRuns("no run has metrics beside its record")
    if len(curves) > len(SERIES):
        raise NotEnoughRuns(f"one plot shows at most {len(SERIES)} learning curves, got {len(curves)}")
    caption = "Line: mean over seeds; band: lowest to highest seed. In brackets: number of seeds."
    figure = new_figure(6.4, 4.2, f"{title}: learning curves", caption)
    axes = figure.subplots()
    for look, (variant, runs) in zip(SERIES, curves.items(), strict=False):
        top1 = np.array(list(zip(*runs, strict=False))).T  # (runs, epochs)
        epochs = np.arange(1, top1.shape[1] + 1)
        axes.fill_between(epochs, top1.min(0), top1.max(0), color=look["color"], alpha=0.2, linewidth=0)
        (line,) = axes.plot(epochs, top1.mean(0), **look, markersize=4, label=f"{variant} ({len(runs)})")
        add_tooltips(line, curve_tooltips(variant, runs))
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("top-1 on the evaluation split (%)")
    axes.grid()
    axes.legend()
    return figure
