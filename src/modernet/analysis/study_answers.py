"""The answers of a study's page to its three questions, in sentences, as far as its runs give them."""

from collections.abc import Mapping, Sequence

from modernet.analysis.budget import build_gaps
from modernet.analysis.budget_tables import describe_crossing, format_epochs
from modernet.analysis.crossing import find_crossing
from modernet.analysis.formatting import count_noun, count_range, format_difference, join_words
from modernet.analysis.learning_rate import sign_changes
from modernet.analysis.row import Row
from modernet.analysis.signs import Verdict, count_verdicts, verdict
from modernet.analysis.stats import ALPHA
from modernet.analysis.study_parts import Study
from modernet.config.roadmap import END, main_path, network_steps

START, PAPERS_END = "modern_recipe", "separate_downsampling"  # of the published comparison with one recipe


def build_answers(study: Study) -> str:
    """A list with an item per question and its sentences below; empty without runs."""
    items = {
        "Budget": _answer_budget(study),
        "Network or recipe": _answer_recipe(study),
        "Steps": _answer_steps(study),
    }
    lines = []
    for question, sentences in items.items():
        lines += [f"- **{question}**", *(f"  - {sentence}" for sentence in sentences)] if sentences else []
    return "\n".join(lines)


def _answer_budget(study: Study) -> list[str]:
    cells = study.cells()
    sentences = []
    for name, about in ((PAPERS_END, "the paper's last network"), (END, "the same with Layer Scale")):
        gaps = build_gaps(cells, START, name)
        if not gaps:
            continue
        listed = ", ".join(f"{format_difference(gap)} after {format_epochs(epochs)}" for epochs, gap in gaps.items())
        crossing = find_crossing(cells, START, name)
        crosses = f" Crossing: {describe_crossing(crossing)}." if crossing is not None else ""
        sentences.append(f"`{name}`, {about}, minus `{START}`, in points: {listed}.{crosses}")
    for epochs in study.roadmap_epochs()[-1:]:
        best = max((row for row in study.roadmap_rows(epochs) if row.n), key=lambda row: row.top1 or 0)
        sentences.append(f"The best mean of the roadmap after {format_epochs(epochs)} is that of `{best.name}`.")
    return sentences


def _answer_recipe(study: Study) -> list[str]:
    best, usual = study.best_rates, study.usual.recipe.lr
    if not best:
        return []
    other = [f"`{one.network}` ({one.lr:g})" for one in best.values() if one.lr != usual]
    networks, tried = len(main_path(study.size)) - 1, len(next(iter(best.values())).top1)
    seeds = count_range(study.tuning_seeds(), "seed")
    sentences = [
        f"The learning rate alone is tuned, for {len(best)} of {count_noun(networks, 'network')}, on held-out images "
        f"with {seeds}. The recipe's rate, {usual:g}, is the best of {tried} for "
        f"{len(best) - len(other)} of them" + (f", another one for {', '.join(other)}." if other else ".")
    ]
    for name in (PAPERS_END, END):
        if START in best and name in best:
            first, last = best[START], best[name]
            gap = f"`{name}` minus `{START}` is {last.top1[usual] - first.top1[usual]:+.1f} points at the recipe's rate"
            if first.lr == last.lr == usual:
                sentences.append(f"{gap}, which is the best of {tried} for both.")
            else:
                sentences.append(f"{gap} and {last.best - first.best:+.1f} with each at its own best rate.")
    one_recipe, own_best = study.recipe_rows()
    others = {row.variant for row in own_best if row.difference is not None}
    compared = [row.variant for row in one_recipe if row.difference is not None and row.variant in others]
    if study.has_own_rates and compared:
        changed = [f"`{change.one_recipe.variant}`" for change in sign_changes(one_recipe, own_best)]
        sentences.append(
            f"On the test images after {format_epochs(study.epochs)}, {len(changed)} of "
            f"{count_noun(len(compared), 'step')} with both differences change the sign where each network has its "
            f"own best rate{': ' * bool(changed)}{', '.join(changed)}. {_single_runs(compared, own_best)}".rstrip()
        )
        decided = [
            join_words([f"`{row.variant}`" for row in rows if row.variant in compared and row.is_decided] or ["none"])
            for rows in (one_recipe, own_best)
        ]
        sentences.append(
            f"Of {count_noun(len(compared), 'step')}, decided after Holm's correction: {decided[0]} with one recipe, "
            f"{decided[1]} with own best rates."
        )
    return sentences


def _single_runs(steps: Sequence[str], rows: Sequence[Row]) -> str:
    """The steps whose difference rests on a network with one run, in a sentence; empty where there are none."""
    runs = {row.variant: row.n for row in rows}
    single = [f"`{row.variant}`" for row in rows if row.variant in steps and 1 in (row.n, runs.get(row.before or ""))]
    return f"One seed alone is behind a network of {join_words(single)}." if single else ""


def _answer_steps(study: Study) -> list[str]:
    sentences = []
    for epochs in study.roadmap_epochs():
        rows = [row for row in study.roadmap_rows(epochs) if row.difference is not None]
        decided = [row for row in rows if row.is_decided]
        counts = count_verdicts(rows)
        sentences.append(
            f"After {format_epochs(epochs)}, {len(decided)} of {count_noun(len(rows), 'step')} are decided (p below "
            f"{ALPHA} after Holm's correction){_list_gains({row.name: row.difference for row in decided})}. "
            f"Decided with the paper's sign: {counts[Verdict.AGREES]}; with the opposite one: "
            f"{counts[Verdict.DISAGREES]}; near zero in the paper: {counts[Verdict.ONLY_OURS]}; not in the paper: "
            f"{sum(verdict(row) is Verdict.NOT_IN_PAPER for row in decided)}."
        )
    if contrasts := study.leave_one_out():
        steps, seeds = network_steps(END, study.size), count_range((one.sample.n for one in contrasts.values()), "seed")
        gains = {step: one.difference.mean for step, one in contrasts.items() if one.is_decided}
        sentences.append(
            f"At the end of the roadmap, `{END}` against itself without one step after {format_epochs(study.epochs)} "
            f"({len(contrasts)} of {count_noun(len(steps), 'step')} with {seeds}), {len(gains)} "
            f"{'is' if len(gains) == 1 else 'are'} decided{_list_gains(gains)}."
        )
    return sentences


def _list_gains(gains: Mapping[str, float | None]) -> str:
    """`; invert_bottleneck (+2.7) and gelu (+1.5) raise top-1; ... lowers top-1`, by size; empty for no steps."""
    ordered = sorted(((step, gain) for step, gain in gains.items() if gain), key=lambda item: -abs(item[1]))
    text = ""
    for verb, sign in (("raise", 1), ("lower", -1)):
        names = [f"`{step}` ({gain:+.1f})" for step, gain in ordered if gain * sign > 0]
        text += f"; {join_words(names)} {verb}{'s' * (len(names) == 1)} top-1" if names else ""
    return text
