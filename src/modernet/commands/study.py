"""Write the generated tables and figures of results/STUDY.md, from the records of committed studies.

modernet study [FOLDER] [--page FILE]

FOLDER is results/studies and FILE is results/STUDY.md by default. Text between the markers
`<!-- begin NAME -->` and `<!-- end NAME -->` of the page is replaced, all other text stays. Figures are written to the
folder figures/ beside the page.
"""

import argparse
import re
import sys
from collections.abc import Container, Iterable
from functools import partial
from pathlib import Path

import hydra

from modernet.analysis.budget_tables import format_epochs
from modernet.analysis.formatting import count_noun
from modernet.analysis.layout import POOLED
from modernet.analysis.row import split_variant
from modernet.analysis.selection import select
from modernet.analysis.stats import Difference
from modernet.analysis.study_fragments import NOT_RUN_YET, build_fragments
from modernet.analysis.study_parts import Study
from modernet.attribution.formatting import ATTRIBUTION_FILE, load_attribution
from modernet.cli import exit_on_error
from modernet.config.experiment import Experiment, build_experiment, initialize_hydra
from modernet.config.names import study_name
from modernet.config.roadmap import END
from modernet.config.search_path import add_config_dir
from modernet.errors import UserError
from modernet.record import Record
from modernet.runtime.io import find_files, write_text

PROTOCOL = "cifar10_micro"  # whose epochs and data the studies in configs/study/ and the page's own text have
MARKED = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)
MARKER = re.compile(r"<!-- (?:begin|end) (\w+) -->")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/studies"))
    parser.add_argument("--page", metavar="FILE", type=Path, default=Path("results/STUDY.md"))
    parser.add_argument("--config-dir", metavar="DIR", type=add_config_dir, help="a folder of configs of yours")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        raise UserError(f"there is no folder {arguments.folder}")
    if not arguments.page.is_file():
        raise UserError(f"there is no page {arguments.page}; --page must name a file with markers")
    return arguments


def _compose_protocol(name: str) -> dict[str, Experiment]:
    """Name of a recipe -> what the protocol trains with it today: the start of the roadmap, and its end."""
    with initialize_hydra():
        experiments = [
            build_experiment(hydra.compose("config", [f"protocol={name}", *step])) for step in ([], [f"+step={END}"])
        ]
    return {experiment.recipe.name: experiment for experiment in experiments}


def _load_records(folder: Path) -> dict[Path, Record]:
    """The usable records of each folder in `folder`; prints the others to stderr."""
    records: dict[Path, Record] = {}
    for study in sorted(path for path in folder.iterdir() if path.is_dir()):
        selection = select(study)
        for line in selection.excluded:
            print(f"excluded: {line}", file=sys.stderr)
        records |= selection.records
    return records


def _load_shapley(folder: Path, usual: Experiment) -> dict[str, dict[str, Difference]]:
    """The Shapley values of each attribution of the protocol below `folder`: title -> step -> points."""
    found = {}
    for path in find_files(folder, ATTRIBUTION_FILE):
        try:
            attribution = load_attribution(path)
        except (OSError, ValueError) as error:
            print(f"excluded: {path}: {error}", file=sys.stderr)
            continue
        if (attribution.protocol, attribution.size) == (usual.protocol, usual.size):
            gains = {row.step: row.contributions["shapley"] for row in attribution.rows}
            changes = split_variant(attribution.end)[2] or f"recipe.epochs={usual.recipe.epochs}"
            end = split_variant(attribution.end)[0]
            seeds = count_noun(len(attribution.seeds), "seed")
            title = f"Shapley to {end}, {changes}, {attribution.orders} orders, {seeds}"
            if title in found:
                raise UserError(f"{path} is a second attribution with the title '{title}'; move one of them away")
            found[title] = {step: Difference(gain.mean, gain.low, gain.high) for step, gain in gains.items()}
    return found


def _report_unused(study: Study, records: Iterable[Record]) -> None:
    """Print the number of runs of the protocol that no part has: other recipes, lengths, networks or data files."""
    used = {run.record.hash for part in study.parts() for run in part.runs}
    unused = [record for record in records if record.protocol == study.usual.protocol and record.hash not in used]
    if unused:
        first = unused[0]
        print(f"unused: {len(unused)} runs of {first.protocol}, as {first.variant}, seed {first.seed}", file=sys.stderr)


def _save_figures(study: Study, names: Container[str], folder: Path) -> dict[str, str]:
    """Write the figures of these fragments that the runs allow; name of a fragment -> its figure as Markdown."""
    from modernet.figures.axes import (
        INTERVALS_NOTE,
        POOLED_NOTE,
        NotEnoughRuns,
    )  # imports matplotlib, which an error does not need
    from modernet.figures.budget import plot_budget
    from modernet.figures.differences import plot_differences
    from modernet.figures.kernel_size import plot_kernel_size
    from modernet.figures.svg import save_figure

    title = f"{study.usual.protocol}, size {study.size}"
    short_name = study_name(study.usual.protocol, study.size)
    plots = {"budget": [(title, partial(plot_budget, study.cells(), short_name))], "signs": [], "kernels": []}
    for epochs in reversed(study.roadmap_epochs()):
        steps, text = study.roadmap_rows(epochs), f"{title}, {format_epochs(epochs)}"
        long_name = study_name(study.usual.protocol, study.size, epochs=[epochs])
        plots["signs"].append((text, partial(plot_differences, steps, long_name)))
        swept = study.kernel_rows(epochs)
        note = POOLED_NOTE if POOLED in {row.difference_test for row in swept} else INTERVALS_NOTE
        plots["kernels"].append((text, partial(plot_kernel_size, swept, long_name, note)))
    links = {}
    for name, choices in plots.items():
        reason = None
        for text, plot in choices if name in names else []:  # of the longest training that has enough runs
            try:
                svg, *_ = save_figure(plot(), folder / name)
            except NotEnoughRuns as error:
                reason = reason or error
            else:
                links[name] = f"![{name}: {text}]({folder.name}/{svg.name})"
                break
        if reason and name not in links:
            print(f"skipped: {name}: {reason}", file=sys.stderr)
    return links


def fill_markers(page: str, fragments: dict[str, str]) -> str:
    """The page with the text between the markers replaced. Raises UserError for unknown and incomplete markers."""
    names = MARKER.findall(page)
    for name in names:
        if name not in fragments:
            raise UserError(f"there is no generated part '{name}'; allowed: {', '.join(fragments)}")
    complete = [match[1] for match in MARKED.findall(page)]
    if sorted(names) != sorted(2 * complete) or len(set(complete)) < len(complete):
        raise UserError(
            "each part of the page needs one `<!-- begin NAME -->` line and one `<!-- end NAME -->` behind it"
        )
    return MARKED.sub(lambda match: f"{match[1]}{fragments[match[2]]}\n{match[3]}", page)


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        protocol = _compose_protocol(PROTOCOL)
        records = _load_records(arguments.folder)
        study = Study(records, protocol)
        _report_unused(study, records.values())
        fragments = build_fragments(study, _load_shapley(arguments.folder, study.usual))
        page = arguments.page.read_text(encoding="utf-8")
        fill_markers(page, fragments)  # a mistake in the page is reported before figures are written
        written = [name for name, text in fragments.items() if text != NOT_RUN_YET]
        for name, link in _save_figures(study, written, arguments.page.parent / "figures").items():
            fragments[name] += f"\n\n{link}"
        write_text(arguments.page, fill_markers(page, fragments))
        print(arguments.page)


if __name__ == "__main__":
    main()
