"""What the user got wrong becomes one line that says what is wrong and what is allowed, and exit status 2."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from yaml import YAMLError

from modernet.spec import DataSpec, Machine, ModelSpec, Recipe, Size
from modernet.steps import help_text, steps

TRACEBACK = "HYDRA_FULL_ERROR"
TRACEBACK_WANTED = os.environ.get(TRACEBACK) == "1"

# The part of the config that a dataclass is made of.
PARTS = {
    cls.__name__: (part, cls)
    for part, cls in (("model", ModelSpec), ("recipe", Recipe), ("data", DataSpec), ("size", Size), ("", Machine))
}


class Ending(Exception):
    """Ends the command with a status; the message is one line for the user."""

    status = 1


class UserError(Ending):
    """A mistake in what the user asked."""

    status = 2


class Failed(Ending):
    """The run failed, and its record says so; or runs of a sweep did."""


class Busy(Ending):
    """Another process trains this run."""


class DiskFull(Ending):
    """The disk took no more."""


class Stopped(Ending):
    """The run was asked to stop, and is saved."""

    status = 143  # what a shell says of a process that SIGTERM ended


def _squeeze(message: object) -> str:
    return "; ".join(line.strip() for line in str(message).splitlines() if line.strip())


def _invalid(part: str, cls: type, finding: ErrorDetails) -> str:
    """One finding of pydantic's in our words: field, what is allowed, what came."""
    field = ".".join(filter(None, [part, *map(str, finding["loc"])]))
    reason, value = finding["msg"].removeprefix("Value error, "), finding["input"]
    match finding["type"]:
        case "value_error":  # our own checks say what came
            return f"{field} {reason}"
        case "missing":
            return f"there is no {field}, which is needed"
        case "unexpected_keyword_argument":
            return f"there is no field '{field}'; allowed: {', '.join(f.name for f in fields(cls))}"
    return f"{field}: {reason[:1].lower()}{reason[1:]}, got {value!r}"


def explain(error: Exception) -> str | None:
    """One line for an ending, or a mistake of the user's; None for anything else."""
    if isinstance(error, Ending):
        return str(error)
    if isinstance(error, ValidationError) and error.title in PARTS:
        part, cls = PARTS[error.title]
        return "; ".join(_invalid(part, cls, finding) for finding in error.errors())
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        options = [step.name for step in steps()] if group == "step" else sorted(error.options)
        return f"there is no {group} '{name}'; allowed: {', '.join(options)}"
    if isinstance(error, HydraException | OmegaConfBaseException | YAMLError):
        cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
        if isinstance(cause, ConfigKeyError | ConfigAttributeError) and isinstance(cause.parent_node, DictConfig):
            allowed = ", ".join(str(key) for key in cause.parent_node)
            return f"there is no field '{cause.full_key}'; allowed: {allowed}"
        return _squeeze(error)
    return None


@contextmanager
def one_line() -> Iterator[None]:
    """Turn endings and the user's mistakes into one line on stderr and an exit status: 2 for a mistake.

    HYDRA_FULL_ERROR=1 adds the traceback.
    """
    os.environ[TRACEBACK] = "1"  # makes Hydra raise its errors instead of printing them and exiting with 1
    try:
        yield
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        if TRACEBACK_WANTED:
            traceback.print_exc()
        if not isinstance(error, Stopped):  # which the run's log has said
            print(f"{Path(sys.argv[0]).name}: error: {line}", file=sys.stderr)
        if isinstance(error, MissingConfigException) and str(error.missing_cfg_file).startswith("step/"):
            print(help_text())
        sys.exit(error.status if isinstance(error, Ending) else 2)


@contextmanager
def for_the_sweep() -> Iterator[None]:
    """Turn whatever ends a run of a sweep into Failed with a line, which reaches the sweep from any process.

    Being asked to stop is the sweep's as well: it ends the process.
    """
    try:
        yield
    except Stopped as error:
        sys.exit(error.status)
    except Exception as error:
        line = explain(error)
        if line is None:
            traceback.print_exc()
            line = one_line_of(error)
        raise Failed(line) from None


def one_line_of(error: Exception) -> str:
    """What an exception says, with its name before it."""
    return f"{type(error).__name__}: {_squeeze(error)}"
