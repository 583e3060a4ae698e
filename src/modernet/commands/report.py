"""Write the report, one HTML file without external resources: conclusions, tables, figures, all runs and methods.

modernet report [FOLDER ...] [--runs DIR ...] [--out FILE] [--protocol P] [--where FILTER]   # or: make report

Each FOLDER is a study: a folder with records, and with an attribution.json of `modernet attribution` if it has one. All
folders DIR, as those of two machines, are merged into one study. By
default these are results/runs and results/attribution, or, without any run, every folder of results/studies. FILE is
results/report.html by default.
"""

import argparse
import gc
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from modernet.analysis.options import add_record_arguments
from modernet.cli import exit_on_error
from modernet.config.search_path import user_config_dirs
from modernet.errors import UserError
from modernet.report.studies import default_folders, display_path, load_studies
from modernet.runtime.io import write_text


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="*", type=Path)
    parser.add_argument("--out", metavar="FILE", type=Path, default=Path("results/report.html"))
    add_record_arguments(parser, "folders of runs, merged into one study")
    arguments = parser.parse_args()
    if not arguments.out.parent.is_dir():
        raise UserError(
            f"there is no folder {arguments.out.parent} to write {arguments.out.name} to; --out FILE names another"
        )
    return arguments


def _publishable_command(arguments: argparse.Namespace) -> str:
    """The command that writes this report, without paths of this machine."""
    words = ["modernet", "report", *map(display_path, arguments.folder)]
    words += ["--runs", *map(display_path, arguments.runs)] if arguments.runs else []
    words += ["--protocol", arguments.protocol] if arguments.protocol else []
    words += ["--where", arguments.where.text] if arguments.where else []
    words += [word for folder in user_config_dirs() for word in ("--config-dir", display_path(folder))]
    return shlex.join(words)


def main() -> None:
    with exit_on_error():
        gc.disable()  # all that is read lives until the page is written; looking for garbage takes a fifth of the time
        arguments = _parse_arguments()
        folders = arguments.folder or ([] if arguments.runs else default_folders())
        studies = load_studies(folders, arguments.protocol, arguments.where, arguments.runs)
        from modernet.report.page import build_page  # imports matplotlib, which an error does not need

        created = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        page = build_page(studies, created, _publishable_command(arguments))
        for study in studies:
            for line in study.excluded:
                print(f"excluded: {study.name}: {line}", file=sys.stderr)
        write_text(arguments.out, page)
        print(arguments.out)


if __name__ == "__main__":
    main()
