"""What the user got wrong becomes one line that says what is wrong and what is allowed, and exit status 2."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from pydantic import ValidationError

from modernet.steps import help_text, steps

TRACEBACK = "HYDRA_FULL_ERROR"


class UserError(Exception):
    """A mistake in what the user asked; the message is one line for the user."""


def _squeeze(message: object) -> str:
    return "; ".join(line.strip() for line in str(message).splitlines() if line.strip())


def invalid_fields(error: ValidationError) -> str:
    """Pydantic's findings in a line: field, what is allowed, what came."""
    found = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"])
        reason = item["msg"].removeprefix("Value error, ")
        found.append(reason_line(field, reason, item["type"], item["input"]))
    return f"{error.title}: " + "; ".join(found)


def reason_line(field: str, reason: str, kind: str, value: object) -> str:
    if kind == "value_error":  # our own checks say what came
        return f"{field} {reason}"
    if kind == "missing":
        return f"{field} is missing"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"there is no field {field}"
    return f"{field}: {reason[:1].lower()}{reason[1:]}, got {value!r}"


def explain(error: Exception) -> str | None:
    """One line for a mistake of the user's; None for anything else."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ValidationError):
        return invalid_fields(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        options = [step.name for step in steps()] if group == "step" else sorted(error.options)
        return f"there is no {group} '{name}'; allowed: {', '.join(options)}"
    if isinstance(error, HydraException | OmegaConfBaseException):
        cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
        if isinstance(cause, ConfigKeyError | ConfigAttributeError) and isinstance(cause.parent_node, DictConfig):
            allowed = ", ".join(str(key) for key in cause.parent_node)
            return f"there is no field '{cause.full_key}'; allowed: {allowed}"
        return _squeeze(error)
    return None


@contextmanager
def one_line() -> Iterator[None]:
    """Turn the user's mistakes into one line on stderr and exit status 2; HYDRA_FULL_ERROR=1 adds the traceback."""
    wanted = os.environ.get(TRACEBACK) == "1"
    os.environ[TRACEBACK] = "1"  # makes Hydra raise its errors instead of printing them and exiting with 1
    try:
        yield
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        if wanted:
            traceback.print_exc()
        print(f"{Path(sys.argv[0]).name}: error: {line}", file=sys.stderr)
        if isinstance(error, MissingConfigException) and str(error.missing_cfg_file).startswith("step/"):
            print(help_text())
        sys.exit(2)
    finally:
        if not wanted:
            del os.environ[TRACEBACK]
