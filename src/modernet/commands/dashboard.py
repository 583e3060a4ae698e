"""Publish the roadmap on wandb as a saved workspace and a report, and print their links.

modernet dashboard [--protocol P] [--runs DIR ...] [--entity E] [--project P]      # repeating it updates both
modernet dashboard --dry-run > dashboard.json                     # what would be saved; needs no login

The results table is that of the records below --runs. Entity and project are WANDB_ENTITY and WANDB_PROJECT, or those
where the runs below --runs were logged.
"""

import argparse
import json
import os
from pathlib import Path

from modernet.analysis.options import DEFAULT_RUNS, record_folders
from modernet.cli import exit_on_error
from modernet.config.schema import WandbConfig
from modernet.config.search_path import add_config_dir
from modernet.errors import UserError
from modernet.tracking.results import load_rows, log_results, projects_of, results_text


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", help="only the runs of this protocol; all by default")
    parser.add_argument("--runs", nargs="+", type=Path, default=[], metavar="DIR", help=f"{DEFAULT_RUNS} by default")
    parser.add_argument("--entity", default=os.environ.get("WANDB_ENTITY"), help="a user or team; that of the runs")
    parser.add_argument("--project", default=os.environ.get("WANDB_PROJECT"), help="that of the runs by default")
    parser.add_argument("--dry-run", action="store_true", help="print the specs as JSON")
    parser.add_argument(
        "--config-dir", metavar="DIR", type=add_config_dir, help="a folder with steps and protocols of yours"
    )
    arguments = parser.parse_args()
    arguments.runs = record_folders(*arguments.runs)
    return arguments


def _find_project(arguments: argparse.Namespace) -> tuple[str | None, str]:
    """Entity, None for the login's, and project: those of the arguments, of the runs, or the default.

    Raises UserError where the runs were logged in several projects.
    """
    found = [
        (arguments.entity or entity, arguments.project or project) for entity, project in projects_of(arguments.runs)
    ]
    if len(set(found)) > 1:
        names = ", ".join(sorted("/".join(filter(None, pair)) for pair in set(found)))
        raise UserError(f"the runs were logged in several projects ({names}); --entity and --project name one")
    return found[0] if found else (arguments.entity, arguments.project or WandbConfig().project)


def _print_specs_or_publish(arguments: argparse.Namespace) -> None:
    try:
        from modernet.tracking import dashboard
    except ImportError as error:
        raise UserError("the dashboard needs wandb-workspaces: pip install 'modernet[dashboard]'") from error
    from modernet.tracking.sync import log_in

    protocol = arguments.protocol
    dashboard.check_protocol(protocol)
    entity, project = _find_project(arguments)
    rows = load_rows(arguments.runs, protocol)
    text = results_text(rows)
    if arguments.dry_run:
        print(json.dumps(dashboard.to_specs(entity or "", project, protocol, text), indent=1))
        return
    api = log_in()
    entity = entity or str(api.default_entity)
    links = dashboard.publish(api, entity, project, protocol, text)
    if rows:
        links["results"] = log_results(rows, entity, project, dashboard.dashboard_title(protocol))
    for name, link in links.items():
        print(f"{name}: {link}")


def main() -> None:
    with exit_on_error():
        _print_specs_or_publish(_parse_arguments())


if __name__ == "__main__":
    main()
