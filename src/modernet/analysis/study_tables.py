"""The tables of a study as Markdown: signs, learning rates, network or recipe, and what single steps are worth."""

from collections.abc import Mapping, Sequence
from math import sqrt

from modernet.analysis.budget_tables import NOT_RUN
from modernet.analysis.formatting import (
    count_noun,
    format_accuracy,
    format_difference,
    format_interval,
    format_p_value,
    format_sample,
    format_std_tests,
    tabulate_text,
)
from modernet.analysis.layout import POOLED, Contrast, build_layout
from modernet.analysis.learning_rate import BestRate, SignChange
from modernet.analysis.notes import noise_note
from modernet.analysis.row import Row
from modernet.analysis.signs import Verdict, count_verdicts, verdict
from modernet.analysis.stats import ALPHA, Sample, contrast, holm, pool_std, summarize, t_quantile, welch

VERDICT_WORDS = {
    Verdict.AGREES: "with the paper's sign",
    Verdict.DISAGREES: "with the opposite sign",
    Verdict.ONLY_OURS: "decided here and near zero in the paper",
    Verdict.UNDECIDED: "undecided",
}


def accuracy_table(rows: Sequence[Row]) -> str:
    """Accuracy and cost of the networks that were run."""
    body = [
        [
            row.name,
            str(row.n),
            format_accuracy(row),
            format_interval(row.top1_low, row.top1_high),
            f"{row.gmacs:.4f}",
            f"{row.params:,}",
        ]
        for row in rows
        if row.n
    ]
    return tabulate_text(["network", "n", "top-1 (%)", "95 % interval", "GMACs", "parameters"], body)


def signs_table(tables: Mapping[str, Sequence[Row]]) -> str:
    """Per published step the paper's difference and ours, from title -> rows, with the verdict on our sign."""
    headers = ["step", "paper (points)"]
    cells: dict[str, list[str]] = {}
    for title, rows in tables.items():
        headers += [f"ours, {title}", f"sign (p, Holm), {title}"]
        for row in rows:
            if not row.is_published or row.before is None:
                continue
            line = cells.setdefault(row.name, [format_difference(row.paper_gap)])
            p = f" ({format_p_value(row.difference_holm)})" if row.difference_holm is not None else ""
            line += [format_difference(row.gap) or NOT_RUN, f"{verdict(row)}{p}"]
    return tabulate_text(headers, [[name, *line] for name, line in cells.items()])


def signs_sentence(title: str, rows: Sequence[Row]) -> str:
    """The number of steps with each verdict, with their names where they are decided."""
    counts = count_verdicts(rows)
    parts = []
    for kind, words in VERDICT_WORDS.items():
        names = [f"`{row.name}`" for row in rows if row.is_published and row.before and verdict(row) is kind]
        listed = f" ({', '.join(names)})" if names and kind is not Verdict.UNDECIDED else ""
        parts.append(f"{counts[kind]} {words}{listed}")
    total = sum(counts[kind] for kind in VERDICT_WORDS)
    return f"{title}, {total} steps with both differences: {', '.join(parts)}."


def resolution_note(title: str, rows: Sequence[Row]) -> str:
    """The noise of the runs, and the smallest difference of two steps whose interval excludes zero."""
    steps = [row for row in rows if row.is_published and row.n]
    note = f"**{title}.** {noise_note(list(rows))}"
    samples = {row.variant: row.sample for row in steps if row.sample}
    pairs = [(samples[row.variant], samples[row.before]) for row in steps if row.before in samples]
    note += f" {_sensitivity(list(samples.values()), pairs)}"
    known = [row for row in steps if row.pooled_std and row.pooled_df and row.difference_test == POOLED]
    if not known:
        return note
    n = min(row.n for row in steps)
    std, freedom = known[0].pooled_std or 0.0, known[0].pooled_df or 1
    half = t_quantile(freedom) * std * sqrt(2 / n)
    return f"{note} The interval of a difference of two steps, {count_noun(n, 'seed')} each, is ± {half:.2f} points."


def layout_note(title: str, values: Sequence[Sequence[float]], pairs: Sequence[tuple[int, int]] = ()) -> str:
    """The noise of networks by themselves, from the top-1 of each seed, and what the differences of `pairs` are by it.

    Empty where the noise is unknown. A pair has the indices of two networks.
    """
    samples, layout = list(map(summarize, values)), build_layout(values)
    if layout.pooled is None:
        return ""
    tests = format_std_tests(layout.brown_forsythe_p, layout.bartlett_p)
    note = (
        f"**{title}.** {count_noun(len(samples), 'row')}: pooled std {layout.pooled.std:.2f} with "
        f"{layout.pooled.freedom} degrees of freedom; {tests}."
    )
    return f"{note} {_sensitivity(samples, [(samples[i], samples[j]) for i, j in pairs])}" if pairs else note


def _sensitivity(samples: Sequence[Sample], pairs: Sequence[tuple[Sample, Sample]]) -> str:
    """The number of differences that each of both tests decides; it can depend on the test more than on the runs."""
    pooled = pool_std(samples)
    by_pooled = [contrast(*pair, pooled).p for pair in pairs] if pooled and pooled.std else []
    by_welch = [welch(*pair).p for pair in pairs]
    counts = [sum(p is not None and p < ALPHA for p in holm(values)) for values in (by_pooled, by_welch)]
    return f"The pooled std decides {counts[0]} of {count_noun(len(pairs), 'difference')}, Welch's test {counts[1]}."


def rates_table(best: Mapping[str, BestRate], usual: float) -> str:
    """Held-out top-1 at each learning rate, the best rate of each network, and the differences to the one before.

    The networks are in roadmap order; one whose previous step was not tuned is compared with the last one that was.
    """
    rates = sorted({rate for one in best.values() for rate in one.top1})
    body = []
    for before, one in zip([None, *best.values()], best.values(), strict=False):
        notes = [*(["tied"] if one.is_tied else []), *(["at the edge"] if one.is_at_edge else [])]
        chosen = f"{one.lr:g}" + (f" ({', '.join(notes)})" if notes else "")
        gaps = [one.top1[usual] - before.top1[usual], one.best - before.best] if before else []
        differences = [f"{gap:+.2f}" for gap in gaps] or ["", ""]
        body.append([one.network, *(f"{one.top1[rate]:.2f}" for rate in rates), chosen, *differences])
    headers = [f"lr {rate:g}" + (" (recipe)" if rate == usual else "") for rate in rates]
    headers += ["best lr", "vs row above, recipe's lr", "vs row above, own best"]
    return tabulate_text(["network, held-out top-1 (%)", *headers], body)


def recipe_table(one_recipe: Sequence[Row], own_best: Sequence[Row], best: Mapping[str, BestRate]) -> str:
    """Both tables side by side: one recipe for all, and each network at its own best learning rate."""
    own = {row.variant: row for row in own_best}
    body = []
    for row in one_recipe:
        other = own.get(row.variant)
        rate = f"{best[row.variant].lr:g}" if row.variant in best else ""
        body.append([row.name, *_result_cells(row), rate, *(_result_cells(other) if other else [NOT_RUN] * 4)])
    result = ["n", "vs previous", "p (Holm)"]
    return tabulate_text(["step", "one recipe", *result, "own lr", "own best", *result], body)


def _result_cells(row: Row) -> list[str]:
    """Accuracy, number of seeds, and the difference to the row before with its p-value."""
    return [format_accuracy(row), str(row.n), format_difference(row.gap), format_p_value(row.difference_holm)]


def sign_change_lines(changes: Sequence[SignChange]) -> str:
    """One line per step whose sign depends on the learning rate."""
    if not changes:
        return "No step of both tables changes the sign of its difference to the step before."
    lines = [
        f"- `{change.one_recipe.name}`: {format_difference(change.one_recipe.gap)} with one recipe, "
        f"{format_difference(change.own_best.gap)} at its own best rate."
        for change in changes
    ]
    return "\n".join(["Steps whose difference to the step before changes its sign:", "", *lines])


def contrast_table(reference: str, sample: Sample, contrasts: Mapping[str, Contrast], header: str) -> str:
    """One reference, and networks against it."""
    body = [[reference, str(sample.n), format_sample(sample), "", ""]]
    for name, (sample, gap, p) in contrasts.items():
        body.append([name, str(sample.n), format_sample(sample), format_difference(gap), format_p_value(p)])
    return tabulate_text([header, "n", "top-1 (%)", f"vs {reference} (points)", "p (Holm)"], body)


def steps_table(steps: Sequence[str], columns: Mapping[str, Mapping[str, str]]) -> str:
    """What each step is worth by several measures, from heading -> step -> text."""
    body = [[step, *(column.get(step) or NOT_RUN for column in columns.values())] for step in steps]
    return tabulate_text(["step", *columns], body)
