"""Copy finished and failed runs, without weights, to results/studies/STUDY, and write their table and figures.

modernet freeze STUDY [--runs results/runs] [--protocol P]      # or: make freeze STUDY=my_study
A second call adds the runs that finished since; it removes nothing. With --runs results/studies/STUDY, it only writes
the table and the figures of the study again.
"""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

from modernet.analysis.formatting import describe_contradiction
from modernet.analysis.row import group_of
from modernet.analysis.selection import Selection, load_selection
from modernet.analysis.table import build_rows
from modernet.analysis.table_text import to_csv, to_markdown
from modernet.cli import exit_on_error
from modernet.config.search_path import add_config_dir, user_config_dirs
from modernet.errors import UserError
from modernet.record import Record, find_record, write_record
from modernet.report.origins import shorten_paths, to_publishable
from modernet.report.studies import display_path
from modernet.runtime.file_names import METRICS_FILE, RECORD_FILE, STEPS_FILE
from modernet.runtime.io import write_bytes, write_text

STUDIES = Path("results/studies")
HEADER = "<!-- Written by `modernet freeze`; `modernet table {folder}{options}` prints it again. -->\n\n"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="name of the folder in results/studies")
    parser.add_argument("--runs", type=Path, default=Path("results/runs"), help="results/runs by default")
    parser.add_argument("--protocol", help="only the runs of this protocol")
    parser.add_argument("--config-dir", metavar="DIR", type=add_config_dir, help="a folder with your own steps")
    arguments = parser.parse_args()
    if not re.fullmatch(r"[\w.-]*\w", arguments.study):
        raise UserError(f"STUDY must be a name of letters, digits, '_', '-' and '.', got {arguments.study!r}")
    return arguments


def _to_copy(selection: Selection) -> dict[Path, Record]:
    return selection.records | selection.failed


def _find_targets(selection: Selection, runs: Path, study: Path) -> dict[Path, Path]:
    """Path of a record -> its folder in the study. Raises UserError where another run or result has that folder."""
    targets: dict[Path, Path] = {}
    for path, record in _to_copy(selection).items():
        # --runs can be the folder of a run.
        run = path.parent
        name = Path(record.protocol, run.resolve().name) if run == runs else run.relative_to(runs)
        targets[path] = folder = study / name
        present = find_record(folder)
        if present and present.status == "done" and path in selection.failed:
            del targets[path]
            continue
        if present and present.hash != record.hash:
            raise UserError(
                f"{path} and {folder / RECORD_FILE} are records of different runs in folders of one name; rename one "
                "of the folders. Nothing was copied"
            )
        if present and present.status == "done" and present.top1 != record.top1:
            raise UserError(
                f"{describe_contradiction({folder / RECORD_FILE: present, path: record})}. Nothing was copied"
            )
    return targets


def _copy(selection: Selection, runs: Path, study: Path) -> None:
    """Copy records and metrics of epochs and steps; each run keeps its folder's name.

    The command of a run and its reason to fail keep no path of this machine. Raises UserError, and copies nothing,
    where that would replace the result of another run.
    """
    records = _to_copy(selection)
    for path, folder in _find_targets(selection, runs, study).items():
        record = records[path]
        if folder.resolve() == path.parent.resolve():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for name in (METRICS_FILE, STEPS_FILE):
            if path.with_name(name).exists():
                write_bytes(folder / name, path.with_name(name).read_bytes())
            elif name == METRICS_FILE and record.status == "done":  # modernet 0.1 wrote no curves by step
                print(f"{path.parent} has no {name}: its learning curve is not copied", file=sys.stderr)
        overrides = tuple(map(to_publishable, record.overrides))
        reason = record.reason and shorten_paths(record.reason)
        write_record(folder, replace(record, overrides=overrides, reason=reason))


def _write_results(study: Path) -> None:
    """Write table.md, table.csv and figures/ of the records of a study; tuning has no figures."""
    from modernet.figures.gallery import save_figures  # imports matplotlib, which takes a second

    selection = load_selection(study)
    plotted = {path: record for path, record in selection.records.items() if not group_of(record).is_tuning}
    _, skipped = save_figures(replace(selection, records=plotted), study / "figures")
    for line in skipped:
        print(f"skipped: {line}", file=sys.stderr)
    rows = build_rows(selection.records.values())
    options = "".join(f" --config-dir {display_path(folder)}" for folder in user_config_dirs())
    header = HEADER.format(folder=study.as_posix(), options=options)
    write_text(study / "table.md", f"{header}{to_markdown(rows, failed=selection.failed.values())}\n")
    write_text(study / "table.csv", to_csv(rows))


def main() -> None:
    with exit_on_error():
        arguments = _parse_arguments()
        study = STUDIES / arguments.study
        _copy(load_selection(arguments.runs, arguments.protocol), arguments.runs, study)
        _write_results(study)
        print(study / "table.md")


if __name__ == "__main__":
    main()
