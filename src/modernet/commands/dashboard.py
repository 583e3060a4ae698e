"""Publish the roadmap on wandb as a saved workspace and a report, and print their links.

modernet dashboard [--protocol P] [--entity E] [--project P]      # repeating it updates both
modernet dashboard --dry-run > dashboard.json                     # what would be saved; needs no login
"""

import argparse
import json
import os

from modernet.cli import exit_on_error
from modernet.config.search_path import add_config_dir
from modernet.errors import UserError
from modernet.tracking.logger import PROJECT


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", help="only the runs of this protocol; all by default")
    parser.add_argument("--entity", default=os.environ.get("WANDB_ENTITY"), help="a user or team; yours by default")
    project = os.environ.get("WANDB_PROJECT", PROJECT)
    parser.add_argument("--project", default=project, help="%(default)s by default")
    parser.add_argument("--dry-run", action="store_true", help="print the specs as JSON")
    parser.add_argument(
        "--config-dir", metavar="DIR", type=add_config_dir, help="a folder with steps and protocols of yours"
    )
    return parser.parse_args()


def _print_specs_or_publish(arguments: argparse.Namespace) -> None:
    try:
        from modernet.tracking import dashboard
    except ImportError as error:
        raise UserError("the dashboard needs wandb-workspaces: pip install 'modernet[dashboard]'") from error
    from modernet.tracking.sync import log_in

    protocol = arguments.protocol
    dashboard.check_protocol(protocol)
    if arguments.dry_run:
        print(json.dumps(dashboard.to_specs(arguments.entity or "", arguments.project, protocol), indent=1))
        return
    api = log_in()
    entity = arguments.entity or str(api.default_entity)
    for name, link in dashboard.publish(api, entity, arguments.project, protocol).items():
        print(f"{name}: {link}")


def main() -> None:
    with exit_on_error():
        _print_specs_or_publish(_parse_arguments())


if __name__ == "__main__":
    main()
