"""The generated parts of a study's page: name of a pair of markers -> Markdown."""

from collections.abc import Callable, Mapping, Sequence

from tabulate import tabulate

from modernet.analysis.budget import all_epochs
from modernet.analysis.budget_tables import budget_table, crossing_table, format_epochs, gap_table
from modernet.analysis.formatting import count_noun, count_range, format_difference, format_p_value
from modernet.analysis.layout import Layout, compare_with
from modernet.analysis.learning_rate import sign_changes
from modernet.analysis.row import Row
from modernet.analysis.stats import Difference, summarize
from modernet.analysis.study import of_network, of_protocol
from modernet.analysis.study_answers import build_answers
from modernet.analysis.study_parts import (
    BUDGET_EPOCHS,
    BUDGET_NETWORKS,
    LAYER_SCALES,
    NUM_SEEDS,
    Study,
    swept_kernel_size,
)
from modernet.analysis.study_tables import (
    accuracy_table,
    contrast_table,
    layout_note,
    rates_table,
    recipe_table,
    resolution_note,
    sign_change_lines,
    signs_sentence,
    signs_table,
    steps_table,
)
from modernet.config.roadmap import END, network_steps

NOT_RUN_YET = "Not run yet."
NO_CROSSING = "A crossing needs two networks with two numbers of epochs in common: not run yet."
Gains = Mapping[str, Difference]  # step -> points


def build_fragments(study: Study, shapley: Mapping[str, Gains]) -> dict[str, str]:
    """Every fragment; one without records says that it was not run yet.

    `shapley` has the Shapley values of each finished attribution, by the title of their column.
    """
    fragments: dict[str, Callable[[], str]] = {
        "answers": lambda: build_answers(study),
        "roadmap": lambda: _roadmap(study),
        "kernels": lambda: _kernels(study),
        "budget": lambda: _budget(study),
        "learning_rate": lambda: _learning_rate(study),
        "recipe": lambda: _recipe(study),
        "layer_scale": lambda: _layer_scale(study),
        "steps": lambda: _steps(study, shapley),
        "signs": lambda: _signs(study),
        "noise": lambda: _noise(study),
        "commands": lambda: _commands(study),
    }
    return {name: build() or NOT_RUN_YET for name, build in fragments.items()}


def _join(*paragraphs: str) -> str:
    return "\n\n".join(filter(None, paragraphs))


def _missing(study: Study, lengths: list[int]) -> str:
    if study.epochs in lengths:
        return ""
    return f"{format_epochs(study.epochs)}, the protocol's: not finished yet; the commands below count the runs."


def _roadmap(study: Study) -> str:
    lengths = study.roadmap_epochs()
    if not lengths:
        return ""
    tables = [_join(f"**{format_epochs(epochs)}**", accuracy_table(study.roadmap_rows(epochs))) for epochs in lengths]
    return _join(*tables, _missing(study, lengths))


def _kernels(study: Study) -> str:
    tables, lengths = [], []
    for epochs in study.roadmap_epochs() or [study.epochs]:
        swept = [name for name in study.networks(epochs) if swept_kernel_size(name)]
        if len(swept) < 2 or not any("=" in name for name in swept):
            continue
        rows = study.kernel_rows(epochs)
        lengths.append(epochs)
        contrasts = _kernel_contrasts(rows, study.layout(epochs))
        tables.append(_join(f"**{format_epochs(epochs)}**", accuracy_table(rows), contrasts))
    return _join(*tables, _missing(study, lengths)) if tables else ""


def _kernel_contrasts(rows: Sequence[Row], layout: Layout) -> str:
    """The other kernel sizes against the smallest one, in a family of their own."""
    top1s = {swept_kernel_size(row.name): row.top1s for row in rows if row.n}
    (smallest, reference), *others = [(f"{size}x{size}", values) for size, values in top1s.items()]
    return contrast_table(smallest, summarize(reference), compare_with(reference, dict(others), layout), "kernel size")


def _budget(study: Study) -> str:
    cells = study.cells()
    if not all_epochs(cells):
        return ""
    gaps = gap_table(cells) if len(cells) > 1 else ""
    missing = [epochs for epochs in BUDGET_EPOCHS if any(epochs not in cells.get(name, {}) for name in BUDGET_NETWORKS)]
    note = f"Not finished yet: {', '.join(map(format_epochs, missing))}." if missing else ""
    return _join(budget_table(cells), gaps, crossing_table(cells) or NO_CROSSING, note)


def _learning_rate(study: Study) -> str:
    if not study.best_rates:
        return ""
    missing = [f"`{name}`" for name in study.tuned_networks() if name not in study.best_rates]
    note = f"Not finished with every learning rate: {', '.join(missing)}." if missing else ""
    return _join(rates_table(study.best_rates, study.usual.recipe.lr), note)


def _recipe(study: Study) -> str:
    best = study.best_rates
    left, right = study.recipe_rows()
    if min(len(left), len(right)) < 2:
        return ""
    if not study.has_own_rates:
        return f"The best rate of each of the {len(best)} tuned networks is the recipe's, so both tables are the same."
    missing = [name for name in best if name not in {row.variant for row in right}]
    note = f"Not run yet at their own best rate: {', '.join(missing)}." if missing else ""
    return _join(recipe_table(left, right, best), sign_change_lines(sign_changes(left, right)), note)


def _layer_scale(study: Study) -> str:
    tables = []
    for epochs in sorted({run.epochs for run in of_protocol(study.runs)}):
        runs = of_protocol(study.runs, epochs)
        top1s = {value: [run.top1 for run in of_network(runs, {name})] for name, value in LAYER_SCALES.items()}
        others = {value: values for value, values in top1s.items() if values}
        reference = others.pop(LAYER_SCALES[END], None)
        if reference and others:
            contrasts = compare_with(reference, others, study.layout(epochs))
            table = contrast_table(LAYER_SCALES[END], summarize(reference), contrasts, "initial value")
            tables.append(_join(f"**{format_epochs(epochs)}**", table))
    return _join(*tables)


def _steps(study: Study, shapley: Mapping[str, Gains]) -> str:
    leave_one_out = study.leave_one_out()
    if not leave_one_out and not shapley:  # the table of signs has the path
        return ""
    steps, seeds = network_steps(END, study.size), [one.sample.n for one in leave_one_out.values()]
    columns = {
        f"path, {format_epochs(epochs)}": _to_cells({row.variant: row.gap for row in study.roadmap_rows(epochs)})
        for epochs in study.roadmap_epochs()
    }
    if leave_one_out:
        title = f"leave-one-out, {format_epochs(study.epochs)}"
        columns[title] = _to_cells({step: one.difference for step, one in leave_one_out.items()})
        columns[f"p (Holm), {title}"] = {step: format_p_value(one.holm) for step, one in leave_one_out.items()}
    columns |= {title: _to_cells(gains) for title, gains in shapley.items()}
    unfinished = [] if shapley else ["Shapley"]
    if len(seeds) < len(steps) or min(seeds) < NUM_SEEDS:
        count = (
            f" ({len(seeds)} of {count_noun(len(steps), 'step')} with {count_range(seeds, 'seed')})" if seeds else ""
        )
        unfinished.insert(0, f"leave-one-out{count}")
    return _join(steps_table(steps, columns), f"Not finished yet: {', '.join(unfinished)}." if unfinished else "")


def _to_cells(gains: Gains) -> dict[str, str]:
    return {step: format_difference(gap) for step, gap in gains.items()}


def _signs(study: Study) -> str:
    lengths = study.roadmap_epochs()
    if not lengths:
        return ""
    tables = {format_epochs(epochs): study.roadmap_rows(epochs) for epochs in lengths}
    sentences = [f"- {signs_sentence(title, rows)}" for title, rows in tables.items()]
    return _join(signs_table(tables), "\n".join(sentences), _missing(study, lengths))


def _noise(study: Study) -> str:
    lengths, cells = study.roadmap_epochs(), study.cells()
    notes = [resolution_note(format_epochs(epochs), study.roadmap_rows(epochs)) for epochs in lengths]
    for epochs in all_epochs(cells):
        if epochs not in lengths:
            rows = [row.top1s for row in study.roadmap_rows(epochs) if row.n]
            notes.append(layout_note(format_epochs(epochs), rows))
    notes.append(layout_note("Budget axis", [top1s for network in cells.values() for top1s in network.values()]))
    if without := study.without_steps():
        title, rows = f"Leave-one-out alone, {format_epochs(study.epochs)}", [study.end(), *without.values()]
        notes.append(layout_note(title, rows, [(number, 0) for number in range(1, len(rows))]))
    if study.has_own_rates:
        rows = study.recipe_rows()[1]
        numbers = {row.variant: number for number, row in enumerate(rows)}
        pairs = [(numbers[row.variant], numbers[row.before]) for row in rows if row.before in numbers]
        notes.append(layout_note("Own best learning rates alone", [row.top1s for row in rows], pairs))
    return "\n".join(f"- {note}" for note in notes if note)


def _commands(study: Study) -> str:
    body = [
        [
            part.title,
            f"`{part.command}`",
            f"{part.finished} of {part.planned}",
            f"{part.minutes:.0f}" if part.runs else "not run yet",
            f"{part.hours:.1f}" if part.runs else "",
        ]
        for part in study.parts()
    ]
    columns = ("left", "left", "right", "right", "right")
    headers = ["part", "command", "finished runs", "minutes per run (median)", "hours of these runs"]
    return tabulate(body, headers, "github", disable_numparse=True, colalign=columns)
