"""Learning curves: the training loss by step and the accuracy after each epoch."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from modernet.analysis.row import network_name
from modernet.analysis.stats import confidence_interval, summarize
from modernet.config.identity import non_defaults
from modernet.config.names import variant_name
from modernet.curves import load_epochs, load_steps
from modernet.figures.axes import INTERVAL, NotEnoughRuns, add_legend_above, mean_label
from modernet.figures.style import PAGE, SERIES, FigureFormat, new_figure, styled
from modernet.figures.svg import add_tooltips
from modernet.figures.tooltips import curve_tooltips
from modernet.record import Record
from modernet.runtime.file_names import METRICS_FILE, STEPS_FILE

Curves = dict[str, list[list[float]]]  # variant -> top-1 in percent, [run][epoch]
StepCurves = dict[str, list[dict[int, float]]]  # variant -> of each run: optimizer step -> training loss

FEWEST = 3  # epochs, or points by step
FEWEST_FOR_BAND = 3  # runs
POINTS = 60  # of a curve by step, each the mean of neighbouring lines


def load_curves(records: Mapping[Path, Record], variants: Sequence[str]) -> tuple[Curves, list[str]]:
    """Top-1 after each epoch of the runs of these variants, and one line for each run without its metrics."""
    curves: Curves = {variant: [] for variant in variants}
    skipped = []
    for path, record in records.items():
        if record.variant in curves:
            try:
                top1 = [epoch["top1"] for epoch in load_epochs(path)]
                if (len(top1), top1[-1]) != (record.epochs, record.top1):
                    raise ValueError(f"not that of the record, with {record.epochs} epochs to top-1 {record.top1:.10g}")
                curves[record.variant].append(top1)
            except (OSError, ValueError) as error:
                skipped.append(f"{path.with_name(METRICS_FILE)}: {_reason(error)}")
    return {variant: runs for variant, runs in curves.items() if runs}, skipped


def _reason(error: Exception) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)


def load_step_curves(records: Mapping[Path, Record], variants: Sequence[str]) -> tuple[StepCurves, list[str]]:
    """The training loss by step; none, and the reason, where a run of these variants has no readable file of steps.

    No reason where none of the runs has one: modernet 0.1 wrote no steps.
    """
    curves: StepCurves = {variant: [] for variant in variants}
    if not any(path.with_name(STEPS_FILE).exists() for path, record in records.items() if record.variant in curves):
        return {}, []
    for path, record in records.items():
        if record.variant in curves:
            try:
                rows = load_steps(path)
                curves[record.variant].append({row["step"]: float(row["train_loss"]) for row in rows})
            except (OSError, ValueError, KeyError, TypeError) as error:
                return {}, [f"training loss by step: {path.with_name(STEPS_FILE)}: {_reason(error)}"]
    return {variant: runs for variant, runs in curves.items() if runs}, []


def recipes_note(records: Iterable[Record], variants: Iterable[str]) -> str:
    """A sentence where the runs of these variants have different recipes, which decide what their training loss is."""
    shown = [record for record in records if record.variant in set(variants)]
    if len({json.dumps(non_defaults("recipe", record.config["recipe"]), sort_keys=True) for record in shown}) < 2:
        return ""
    names: dict[str, list[str]] = {}
    for record in shown:
        title = variant_name(network_name(record.variant))
        names[record.recipe] = list(dict.fromkeys([*names.get(record.recipe, []), title]))
    recipes = "; ".join(f"{recipe} ({', '.join(titles)})" for recipe, titles in sorted(names.items()))
    return f"Recipes differ, so training losses are not comparable across them: {recipes}."


@styled
def plot_curves(
    curves: Mapping[str, Sequence[Sequence[float]]],
    title: str,
    steps: Mapping[str, Sequence[Mapping[int, float]]] | None = None,
    note: str = "",
    *,
    form: FigureFormat = PAGE,
) -> Figure:
    """Top-1 by epoch and, with `steps`, the training loss by step: the mean over seeds and its confidence interval.

    `note` is the end of the caption, as from `recipes_note`.

    Raises NotEnoughRuns without curves, with too many, and for curves that are points. Runs of one variant are compared
    up to the last epoch, and at the steps, that all of them have.
    """
    if not curves:
        raise NotEnoughRuns("no run has metrics beside its record")
    if len(curves) > len(SERIES):
        raise NotEnoughRuns(f"one plot shows at most {len(SERIES)} learning curves, got {len(curves)}")
    by_step = {variant: _thin(runs) for variant, runs in (steps or {}).items()}
    has_steps = bool(by_step) and all(len(x) >= FEWEST for x, _ in by_step.values())
    longest = max(min(map(len, runs)) for runs in curves.values())
    if longest < FEWEST and not has_steps:
        shorter = f"fewer than {FEWEST} common lines in {STEPS_FILE}" if by_step else f"no {STEPS_FILE}"
        raise NotEnoughRuns(f"the runs have fewer than {FEWEST} epochs and {shorter}")
    seeds = {len(runs) for runs in curves.values()}
    several = " over seeds" * (max(seeds) > 1)
    band = f"; band: {INTERVAL} (Student's t)" * (max(seeds) >= FEWEST_FOR_BAND)
    thin = "; thin lines: the runs of a network with two seeds" * (2 in seeds)
    caption = (
        f"Line: mean{several}{band}{thin}. In brackets: number of seeds. Top-1 on the evaluation split. {note}".strip()
    )
    height = 2.4 if form.is_column else 3.0
    figure = new_figure(form, height * (1 + (form.is_column and has_steps)), f"{title}: learning curves", caption)
    count = 1 + has_steps
    panels = np.ravel(figure.subplots(count, 1) if form.is_column else figure.subplots(1, count))
    if has_steps:
        _plot_steps(panels[0], by_step, form)
    _plot_epochs(panels[-1], curves, form)
    add_legend_above(panels[0], 1 if form.is_column else 2, panels[-1].get_legend_handles_labels()[0])
    return figure


def _plot_epochs(axes: Axes, curves: Mapping[str, Sequence[Sequence[float]]], form: FigureFormat) -> None:
    for look, (variant, runs) in zip(SERIES, curves.items(), strict=False):
        top1 = np.array(list(zip(*runs, strict=False))).T  # (runs, epochs)
        epochs = np.arange(1, top1.shape[1] + 1)
        label = f"{variant_name(network_name(variant))} ({len(runs)})"  # the title has the changes to recipe and data
        _plot_spread(axes, epochs, top1, look["color"])
        (line,) = axes.plot(epochs, top1.mean(0), **look, label=label)
        if len(epochs) > POINTS:
            line.set_marker("")  # marks would hide the line
        else:
            add_tooltips(line, curve_tooltips(variant, runs))
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(5 if form.is_column else 8, integer=True))
    axes.set_ylabel(mean_label("top-1 (%)", any(len(runs) >= FEWEST_FOR_BAND for runs in curves.values()), form))
    axes.grid()


def _plot_steps(
    axes: Axes, curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], form: FigureFormat
) -> None:
    for look, (x, losses) in zip(SERIES, curves.values(), strict=False):
        _plot_spread(axes, x, losses, look["color"])
        axes.plot(x, losses.mean(0), color=look["color"], linestyle=look["linestyle"])
    axes.set_xlabel("optimizer step")
    axes.xaxis.set_major_locator(MaxNLocator(4 if form.is_column else 6, integer=True))
    axes.set_ylabel(
        mean_label("training loss", any(len(losses) >= FEWEST_FOR_BAND for _, losses in curves.values()), form)
    )
    axes.grid()


def _plot_spread(axes: Axes, x: NDArray, values: NDArray[np.float64], color: str) -> None:
    """The confidence interval of the mean of `values` (runs, points); of two runs the lines of both.

    The interval of two runs is thirteen times as wide as their distance, and would hide all other lines.
    """
    if len(values) < FEWEST_FOR_BAND:
        if len(values) > 1:
            axes.plot(x, values.T, color=color, alpha=0.6, linewidth=0.6)
        return
    samples = [summarize(column.tolist()) for column in values.T]
    ends = np.array([confidence_interval(sample) or (sample.mean, sample.mean) for sample in samples])
    axes.fill_between(x, ends[:, 0], ends[:, 1], color=color, alpha=0.18, linewidth=0)


def _thin(runs: Sequence[Mapping[int, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps that all runs have, (points,), and their losses, (runs, points); neighbours are averaged to few points."""
    common = sorted(set.intersection(*map(set, runs)))
    if not common:
        return np.empty(0), np.empty((len(runs), 0))
    parts = np.array_split(np.arange(len(common)), min(len(common), POINTS))
    losses = np.array([[run[step] for step in common] for run in runs])
    x = np.array([np.mean([common[index] for index in part]) for part in parts], dtype=np.float64)
    return x, np.stack([losses[:, part].mean(1) for part in parts], axis=1).astype(np.float64)
