"""From an exception to one line and an exit status; and the `modernet` command, whose verbs are the commands."""

import importlib
import os
import pkgutil
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from yaml import YAMLError

import modernet
from modernet import commands
from modernet.config.identity import SCHEMAS
from modernet.config.overrides import explain_override
from modernet.config.roadmap import all_steps, steps_help
from modernet.config.schema import ExecutionConfig, SizeConfig, WandbConfig
from modernet.config.search_path import sweep_files, user_config_dirs
from modernet.errors import (
    ConnectionLost,
    DeviceFault,
    DiskFull,
    Interrupted,
    LocalMistake,
    ModernetError,
    OutOfMemory,
    RunFailed,
    UserError,
)
from modernet.runtime.distributed import distributed_env
from modernet.runtime.os_errors import DISK_FULL, explain_os_error, is_out_of_memory
from modernet.runtime.streams import discard, open_missing_streams
from modernet.runtime.text import describe, printable, squeeze

TRACEBACK_VARIABLE = "HYDRA_FULL_ERROR"
SET_BY_US = "MODERNET_SETS_HYDRA_FULL_ERROR"  # child processes inherit the first variable, which the user did not set
SEVERAL_VALUES = re.compile(r"Ambiguous value for argument '(([^=]+)=(.*))'")  # Hydra's error for a sweep without -m
SEVERAL_CHOICES = re.compile(r"Multiple values for (\w+)\. To override a value use 'override \w+: (.*)'")
T = TypeVar("T")
SHOW_TRACEBACK = os.environ.get(TRACEBACK_VARIABLE) == "1" and SET_BY_US not in os.environ

# What one process of a run can meet alone.
OF_ONE_PROCESS = (ConnectionLost, DeviceFault, DiskFull, LocalMistake, OSError, OutOfMemory)

# Section of the config -> the dataclass that validates it; execution fields stand at the top level.
SECTIONS = {**SCHEMAS, "size": SizeConfig, "wandb": WandbConfig, "": ExecutionConfig}
# Names of modernet 0.1.
RENAMED = {
    "without": "ablate",
    "device_batch": "recipe.micro_batch_size",
    "workers": "num_workers",
    "recipe.lr_batch": "recipe.base_batch_size",
    "recipe.decay_1d": "recipe.decay_norm_and_bias",
    "recipe.stochastic_depth": "recipe.drop_path_rate",
    "recipe.mixup": "recipe.mixup_alpha",
    "recipe.cutmix": "recipe.cutmix_alpha",
    "recipe.mixup_switch": "recipe.mixup_switch_prob",
    "recipe.random_erasing": "recipe.random_erasing_prob",
    "recipe.ema": "recipe.ema_decay",
    "data.classes": "data.num_classes",
    "data.test_crop": "data.crop_pct",
}


def _unknown_field(name: str, allowed: Iterable[str]) -> str:
    if name in RENAMED:
        return f"there is no field '{name}'; it is called {RENAMED[name]}"
    return f"there is no field '{name}'; allowed: {', '.join(allowed)}"


def _explain_validation(section: str, cls: type, finding: ErrorDetails) -> str:
    """One of pydantic's findings: the field, what is allowed, and the value."""
    # Of a field that may have several types, pydantic names the one that it tried: num_workers.constrained-int.
    path = [str(part) for depth, part in enumerate(finding["loc"]) if depth == 0 or isinstance(part, int)]
    field = ".".join(filter(None, [section, *path]))
    reason, value = finding["msg"].removeprefix("Value error, "), finding["input"]
    match finding["type"]:
        case "value_error":  # the schema's own checks name the value
            return f"{field} {reason}"
        case "unexpected_keyword_argument":
            return _unknown_field(field, [member.name for member in fields(cls)])
    return f"{field}: {reason[:1].lower()}{reason[1:]}, got {value!r}"


def _explain_missing_config(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    options = [step.name for step in all_steps()] if group == "step" else sorted(error.options or [])
    options = [option for option in options if option not in sweep_files(group)]
    hint = "" if user_config_dirs() else "; --config-dir=DIR adds your own"
    return f"there is no {group} '{name}'; allowed: {', '.join(options)}{hint}"


def as_modernet_error(error: Exception) -> Exception:
    """A fault of files or memory as our exception; other errors as they are."""
    if is_out_of_memory(error):
        reason = squeeze(error) or "MemoryError"
        return OutOfMemory(f"the machine has not enough memory ({reason}); free some of it")
    if isinstance(error, OSError):
        return explain_os_error(error) or error
    return error


def explain(error: Exception) -> str | None:
    """One line for one of our exceptions or the user's mistake; None for anything else."""
    error = as_modernet_error(error)
    if isinstance(error, ModernetError):
        return str(error)
    if isinstance(error, ValidationError):
        for section, cls in SECTIONS.items():
            if error.title == cls.__name__:
                findings = error.errors()
                of_items = {finding["loc"][0] for finding in findings if len(finding["loc"]) > 1}
                told = [
                    _explain_validation(section, cls, finding)
                    for finding in findings
                    if not (finding["type"] == "too_short" and finding["loc"][0] in of_items)  # without the wrong items
                ]
                return "; ".join(told)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file == "hydra/launcher/submitit_slurm":
        return "hydra/launcher=slurm needs hydra-submitit-launcher: pip install 'modernet[slurm]'"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        return _explain_missing_config(error)
    if isinstance(error, OverrideParseException):
        return explain_override(error.override)
    if match := SEVERAL_VALUES.match(str(error)):
        return f"{match[1]} has several values; -m trains a run for each, and {match[2]}=[{match[3]}] is one list"
    if match := SEVERAL_CHOICES.match(str(error)):
        if match[1] in ("step", "study"):  # without a default
            return f"+{match[1]}= is given several times; one is allowed"
        return f"{match[1]} has a value already; {match[1]}={match[2]}, without +, changes it"
    if isinstance(error, HydraException | OmegaConfBaseException | YAMLError):
        cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
        if isinstance(cause, ConfigKeyError | ConfigAttributeError) and isinstance(cause.parent_node, DictConfig):
            return _unknown_field(str(cause.full_key), [str(key) for key in cause.parent_node])
        return squeeze(error)
    return None


def _prints(error: Exception) -> bool:
    """Whether this process prints the line of an error.

    A mistake is the same in all processes of a node, unless one alone reads the file; what happens to one process, it
    reports; of a lost connection, those that are left report.
    """
    if isinstance(error, Interrupted) and error.is_logged:
        return False
    return isinstance(error, OF_ONE_PROCESS) or distributed_env().local_rank == 0


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn our exceptions and the user's mistakes into one line on stderr and an exit status, 2 for a mistake.

    Of processes that train together, the first of each node prints the line. HYDRA_FULL_ERROR=1 prints the traceback
    as well.
    """
    open_missing_streams()
    if os.environ.get(TRACEBACK_VARIABLE) != "1":
        # Hydra raises its errors instead of printing them and exiting with 1.
        os.environ |= {TRACEBACK_VARIABLE: "1", SET_BY_US: "1"}
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has read enough, as in `modernet table | head`
        discard(sys.stdout)
        sys.exit(0)
    except KeyboardInterrupt:  # a run that trains saves instead: modernet.runtime.signals
        if distributed_env().local_rank == 0:
            print(f"{Path(sys.argv[0]).name}: stopped by SIGINT", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        if isinstance(error, OSError) and error.errno in DISK_FULL and error.filename is None:  # stdout
            discard(sys.stdout)
        if SHOW_TRACEBACK:
            traceback.print_exc()
        if _prints(error):
            kind = "" if isinstance(error, Interrupted) else "error: "
            print(f"{Path(sys.argv[0]).name}: {kind}{printable(line)}", file=sys.stderr)
            if isinstance(error, MissingConfigException) and str(error.missing_cfg_file).startswith("step/"):
                print(steps_help())
        known = as_modernet_error(error)
        sys.exit(known.status if isinstance(known, ModernetError) else 2)


def call_in_sweep(run: Callable[[], T]) -> T:
    """Call what trains a run of a sweep. Raises RunFailed with one line, which reaches the sweep from any process.

    A signal to stop is meant for the whole sweep: it ends the process.
    """
    try:
        return run()
    except Interrupted as error:
        if _prints(error):
            print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(error.status)
    except Exception as error:
        line = explain(error)
        if line is None:
            traceback.print_exc()
            line = describe(error)
        elif isinstance(error, OF_ONE_PROCESS) and not distributed_env().is_main_process:  # which reports for all
            print(f"{Path(sys.argv[0]).name}: error: {printable(line)}", file=sys.stderr)
    # Hydra keeps this exception until the sweep ends. Raised above, it would keep the run's network and data with it.
    raise RunFailed(printable(line))


def verbs() -> dict[str, str]:
    """Verb -> first line of its help; the verbs of `modernet` are the modules of modernet.commands."""
    return {module.name: _first_line(module.name) for module in pkgutil.iter_modules(commands.__path__)}


def _first_line(verb: str) -> str:
    source = Path(commands.__path__[0], f"{verb}.py").read_text(encoding="utf-8")
    return source.removeprefix('"""').partition("\n")[0].removesuffix('"""')


def main() -> None:
    """The console script: `modernet VERB ...` is `python scripts/VERB.py ...`."""
    known = verbs()
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in ("-h", "--help"):
        width = max(map(len, known))
        print("modernet VERB [ARGUMENTS]; `modernet VERB --help` explains one, `modernet --version` is the version.\n")
        print("\n".join(f"  {name:<{width}}  {line}" for name, line in known.items()))
        return
    if verb == "--version":
        print(modernet.__version__)
        return
    with exit_on_error():
        if verb not in known:
            raise UserError(f"there is no verb '{verb}'; allowed: {', '.join(known)}")
        sys.argv = [f"modernet {verb}", *sys.argv[2:]]
        importlib.import_module(f"modernet.commands.{verb}").main()
