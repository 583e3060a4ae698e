"""What each step changes: its difference to the previous step, ours and the paper's; and comparisons."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modernet.analysis.compare import Comparison
from modernet.analysis.layout import POOLED, WELCH
from modernet.analysis.row import Row
from modernet.analysis.stats import ALPHA
from modernet.config.names import variant_name
from modernet.figures.axes import (
    INTERVAL,
    PAPER_DATA,
    SHORT_INTERVAL,
    NotEnoughRuns,
    confidence_bars,
    few_ticks,
    group_title,
    label_rows,
    paper_size,
    plot_means,
    rows_height,
    seeds_note,
    to_array,
)
from modernet.figures.style import OURS, PAGE, PAPER, SHADE, FigureFormat, new_figure, styled
from modernet.figures.tooltips import difference_tooltip, paper_difference_tooltip

NAMED = "named step"  # behind "vs" in the row's label
FEWEST = 2  # differences of a group; a single one is better said in a sentence


@styled
def plot_differences(rows: Sequence[Row], title: str = "", *, form: FigureFormat = PAGE) -> Figure:
    """Differences to the step before, or that a side step changes, with intervals, one per line, beside the paper's.

    A band is behind the steps whose difference is decided after Holm's correction. Raises NotEnoughRuns where fewer
    than two steps have a difference.
    """
    steps = [row for row in rows if row.is_step and row.difference is not None]
    if len(steps) < FEWEST:
        raise NotEnoughRuns("fewer than two pairs of neighbouring steps were run")
    has_paper = any(row.paper_difference is not None for row in steps)
    about_paper = (
        f" Diamonds: the paper's, size {paper_size(steps)} on {PAPER_DATA}, on another scale; its intervals follow "
        "from the std and n that it prints (Welch's test). Right: whether our sign agrees with the paper's, where our "
        "difference is decided; only ours: the paper's interval includes zero."
    )
    compared = " or ".join(dict.fromkeys("previous step" if row.is_published else NAMED for row in steps))
    caption = (
        f"Difference to the {compared} in points of top-1. {_describe_intervals(steps)} "
        f"{seeds_note([row for row in rows if row.is_step and row.n], f'Error bars: {INTERVAL}.', 'difference')}"
        f"{about_paper * has_paper}"
    )
    height = rows_height(len(steps), form)
    figure = new_figure(form, height, f"{group_title(rows, title)}: difference per step", caption)
    panels = list(
        figure.subplots(1, 1 + has_paper, sharey=True, squeeze=False, width_ratios=[3, 2][: 1 + has_paper])[0]
    )
    heights = label_rows(panels, [_label(row) for row in steps])
    _shade_decided(panels, steps)
    _plot_ours(panels[0], heights, steps, compared, form)
    if has_paper:
        _plot_paper(panels[1], heights, steps, form)
    return figure


@styled
def plot_comparison(comparison: Comparison, title: str = "", *, form: FigureFormat = PAGE) -> Figure:
    """The differences of the compared variants to the first one, with confidence intervals."""
    rows, reference = comparison.rows[1:], variant_name(comparison.reference.variant)
    caption = (
        f"Difference to {reference} in points of top-1. {_describe_intervals(rows)} "
        f"{seeds_note(comparison.rows, f'Error bars: {INTERVAL}.', 'difference')}"
    )
    height = rows_height(len(rows), form)
    title = group_title(comparison.rows, title)
    figure = new_figure(form, height, f"{title}: compared with {reference}", caption)
    axes = figure.subplots()
    heights = label_rows([axes], [variant_name(row.variant) for row in rows])
    _shade_decided([axes], rows)
    _plot_ours(axes, heights, rows, reference, form)
    axes.set_title("")
    return figure


def _label(row: Row) -> str:
    """A step's name; where that is not the previous step of the roadmap, with the step that it is compared with."""
    return row.title if row.is_published or not row.before else f"{row.title} vs {row.neighbour_title(row.before)}"


def _shade_decided(panels: Sequence[Axes], rows: Sequence[Row]) -> None:
    """Bands instead of stripes behind the rows that are decided."""
    for axes in panels:
        for stripe in list(axes.patches):
            stripe.remove()
        for number, row in enumerate(rows):
            if row.is_decided:
                axes.axhspan(number - 0.5, number + 0.5, color=SHADE, linewidth=0, zorder=0)
        axes.axvline(0, color="black", linewidth=0.8)


def _plot_ours(axes: Axes, heights: Sequence[int], rows: Sequence[Row], reference: str, form: FigureFormat) -> None:
    bars = confidence_bars(rows, "difference")
    plot_means(
        axes, to_array(rows, "difference"), heights, OURS, list(map(difference_tooltip, rows)), "ours", xerr=bars
    )
    interval = "" if not bars.any() else f",\n{SHORT_INTERVAL if form.is_column else INTERVAL}"
    axes.set_xlabel(f"points{interval}" if form.is_column else f"difference to {reference} (points){interval}")
    axes.set_title("ours")
    few_ticks(axes.xaxis, 3 if form.is_column else 6)


def _plot_paper(axes: Axes, heights: Sequence[int], steps: Sequence[Row], form: FigureFormat) -> None:
    bars = confidence_bars(steps, "paper_difference")
    texts = [paper_difference_tooltip(row) for row in steps]
    plot_means(axes, to_array(steps, "paper_difference"), heights, PAPER, texts, "paper", xerr=bars)
    axes.set_xlabel(f"points,\n{PAPER_DATA}" if form.is_column else f"difference (points),\n{PAPER_DATA}")
    axes.set_title("paper")
    few_ticks(axes.xaxis, 3 if form.is_column else 6)
    for height, text in ((-1, "sign"), *zip(heights, [row.sign or "" for row in steps], strict=True)):
        axes.text(1.03, height, text, transform=axes.get_yaxis_transform(), va="center", fontsize="small")


def _describe_intervals(rows: Sequence[Row]) -> str:
    """What the dots and bands are, and the origin of our intervals, for the caption."""
    tests = {row.difference_test for row in rows}
    if not tests & {WELCH, POOLED}:
        return "Dots: ours."
    band = f"No row is shaded: no difference has p < {ALPHA} after Holm's correction."
    if any(row.is_decided for row in rows):
        band = f"Shaded: p < {ALPHA} after Holm's correction."
    if WELCH in tests and POOLED in tests:
        return f"Dots: ours, with the pooled std, or by Welch's test where the std is unequal. {band}"
    source = "by Welch's test" if WELCH in tests else "with the std of the runs pooled over networks"
    return f"Dots: ours, {source}. {band}"
