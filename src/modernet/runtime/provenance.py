"""Which code is running."""

import subprocess
from pathlib import Path


def current_commit() -> str | None:
    """The git commit of the running code, with `-dirty` where files differ from it; None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    folder = Path(__file__).parent
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
