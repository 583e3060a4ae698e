"""Publish the roadmap on wandb as a saved workspace and a report, and print their links.

python scripts/dashboard.py [--protocol P] [--entity E] [--project P]      # again: the same two, brought up to date
python scripts/dashboard.py --dry-run > dashboard.json                     # what would be saved; needs no login
"""

import argparse
import json
import os

from modernet.tracking import dashboard
from modernet.tracking import logger as track
from modernet.tracking.login import logged_in
from modernet.errors import one_line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", help="only the runs of this protocol")
    parser.add_argument("--entity", default=os.environ.get("WANDB_ENTITY"), help="a user or team; the login's own")
    parser.add_argument("--project", default=os.environ.get("WANDB_PROJECT", track.PROJECT))
    parser.add_argument("--dry-run", action="store_true", help="print the specs as JSON")
    arguments = parser.parse_args()

    protocol = dashboard.checked(arguments.protocol)
    if arguments.dry_run:
        print(json.dumps(dashboard.specs(arguments.entity or "", arguments.project, protocol), indent=1))
        return
    api = logged_in()
    links = dashboard.publish(api, arguments.entity or str(api.default_entity), arguments.project, protocol)
    for name, link in links.items():
        print(f"{name}: {link}")


if __name__ == "__main__":
    with one_line():
        main()
