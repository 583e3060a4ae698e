"""Wrong commands: each must end with status 2 and one useful line, and leave nothing behind."""

import os
import runpy
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from modernet import cli
from trials.trial import Trial
from trials.wrong_commands import IN_PROCESS, IN_SHELL, IN_SHELL_SLOW, write_surroundings

REPOSITORY = Path(__file__).parents[2]
# make takes an environment as it is, whatever its age.
INSTALLED = "-o .venv/installed-default -o .venv/installed-cpu -o .venv/dev-installed"


def run_in_process(command: str) -> tuple[int, str]:
    """Run `train.py ...`, `modernet ...` or `scripts/NAME.py ...` in this interpreter: exit status and stderr."""
    program, *arguments = shlex.split(command)
    path = REPOSITORY / program
    err, status = StringIO(), 0
    changes = (
        patch.object(sys, "argv", [program, *arguments]),
        patch.object(sys, "path", [str(path.parent), *sys.path]),
        patch.dict(os.environ),  # --config-dir leaves a variable for child processes
        warnings.catch_warnings(),
    )
    with changes[0], changes[1], changes[2], changes[3], redirect_stdout(StringIO()), redirect_stderr(err):
        warnings.simplefilter("ignore")  # of packages that are imported first here
        for name in ("MODERNET_DATA", "MODERNET_CONFIG_DIR"):
            os.environ.pop(name, None)
        try:
            if program == "modernet":
                cli.main()
            else:
                runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return status, err.getvalue()


def run_in_shell(command: str) -> tuple[int, str]:
    """Run a command of `make` or a script of the shell: exit status and stderr."""
    words = shlex.split(command.format(repository=REPOSITORY, installed=INSTALLED))
    outside_of_make = {name: value for name, value in os.environ.items() if name not in ("MAKELEVEL", "MAKEFLAGS")}
    result = subprocess.run(words, capture_output=True, text=True, check=False, env=outside_of_make, timeout=300)
    return result.returncode, result.stderr


def fault(status: int, errors: str, expected: str) -> str:
    """Why this is no useful answer to a wrong command; empty where it is one. argparse may print its usage before."""
    lines = [line for line in errors.splitlines() if "error: " in line.lower() or "***" in line]
    useful = [line for line in lines if expected in line]
    if status != 2:
        return f"status {status}: {errors[-300:]}"
    if "Traceback" in errors:
        return f"a traceback: {errors[-300:]}"
    if not useful:
        return f"no line with {expected!r}: {errors[-300:]}"
    prints_more = errors.startswith("usage: ") or lines[-1].startswith("make: ***")  # make repeats a failed command
    return f"more than one line: {errors[-300:]}" if len(errors.splitlines()) > 1 and not prints_more else ""


def files(folder: Path) -> dict[str, int]:
    """The size of everything below a folder."""
    return {str(path): path.lstat().st_size for path in folder.rglob("*")}


def outputs_of_repository() -> set[str]:
    """What git does not track of the folders in which commands of make, which run in the repository, write."""
    command = (
        "git",
        "status",
        "--porcelain",
        "--ignored",
        "--untracked-files=all",
        "--",
        "results",
        "outputs",
        "multirun",
    )
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines())


def try_commands(folder: Path, commands: list[tuple[str, str]], in_shell: bool = False) -> Iterator[tuple[str, str]]:
    """Each command, run in `folder`, and why its answer is not useful, or empty."""
    write_surroundings(folder)

    def snapshot() -> set[str]:
        return set(map(str, files(folder).items())) | (outputs_of_repository() if in_shell else set())

    before = snapshot()
    run = run_in_shell if in_shell else run_in_process
    with chdir(folder):
        for command, expected in commands:
            try:
                problem = fault(*run(command), expected)
            except Exception as error:
                problem = f"raised {type(error).__name__}: {error}"
            if not problem and (left := snapshot() ^ before):
                problem, before = f"left {sorted(left)[:3]}", snapshot()
            yield command, problem


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """All wrong commands; few of those that start Python again where `short`."""
    groups: Mapping[str, tuple[list[tuple[str, str]], bool]] = {
        "wrong commands of train.py, modernet and scripts": (IN_PROCESS, False),
        "wrong commands of make and shell scripts": (IN_SHELL if short else IN_SHELL + IN_SHELL_SLOW, True),
    }
    for what, (commands, in_shell) in groups.items():
        with TemporaryDirectory() as folder:
            for command, problem in try_commands(Path(folder), commands, in_shell):
                yield Trial(what, not problem, f"{command}: {problem}")
