"""Where configs come from: the package's own folder, and folders that the user names by `--config-dir`."""

import os
import re
from collections.abc import Callable
from functools import cache, wraps
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from omegaconf import OmegaConf
from yaml import YAMLError

from modernet.errors import UserError
from modernet.runtime.text import squeeze

PACKAGE = Path(__file__).parents[1]
# The wheel carries a copy of configs/ in the package; a checkout has it at the top.
CONFIGS = next(path for path in (PACKAGE / "configs", PACKAGE.parents[1] / "configs") if path.is_dir())
NAMES_FILE = "names.yaml"  # display names, in no config group
NAME_FIELDS = {"protocol": "protocol", "size": "name"}  # group -> field with the name of the file, for records
GLOBAL_GROUPS = ("step", "protocol", "study")  # their configs change values of several groups
GLOBAL_HEADER = re.compile(r"^#\s*@package\s+_global_", re.MULTILINE)
VARIABLE = "MODERNET_CONFIG_DIR"  # an environment variable reaches the processes of joblib and Slurm, too

Arguments = ParamSpec("Arguments")
T = TypeVar("T")


def add_config_dir(folder: str | Path) -> None:
    """Read steps, sizes, recipes, protocols, data sets and studies from this folder, too.

    Raises UserError where there is no such folder, and for a file that would be ignored, cannot be read or is misnamed.
    """
    path = Path(folder).resolve()
    if not path.is_dir():
        raise UserError(f"--config-dir must name a folder of config groups (step/, protocol/, ...), got {folder}")
    if os.pathsep in str(path):
        raise UserError(f"--config-dir must name a folder whose path has no '{os.pathsep}', got {path}")
    if path not in config_dirs():
        _check_files(path)
        os.environ[VARIABLE] = os.pathsep.join(map(str, [*user_config_dirs(), path]))


def _check_files(folder: Path) -> None:
    """Raises UserError for a file that would be ignored, that cannot be read, or that names its runs after another."""
    bases = {}
    for path in sorted(folder.glob("**/*.yaml")):
        name = path.relative_to(folder)
        if str(name) == NAMES_FILE:
            continue
        if len(name.parts) == 1:
            groups = "folders of config groups (step/, protocol/, ...)"
            raise UserError(f"{path} would be ignored: configs stand in {groups}, and only {NAMES_FILE} beside them")
        if taken := [other / name for other in config_dirs() if (other / name).exists()]:
            raise UserError(f"{path} would be ignored, because {taken[0]} has its name; rename it")
        if not (CONFIGS / name.parent).is_dir():  # no group of the package; perhaps no config
            continue
        values, field = read_config(path), NAME_FIELDS.get(name.parts[0])
        if field and values.get(field) != path.stem:
            raise UserError(f"{path} needs a line `{field}: {path.stem}`, which names its runs")
        if name.parts[0] in GLOBAL_GROUPS and not GLOBAL_HEADER.search(path.read_text(encoding="utf-8")):
            raise UserError(f"{path} needs the line `# @package _global_` at its top")
        bases[path] = _named_bases(path, name.parent.as_posix(), values)
    try:
        TopologicalSorter(bases).prepare()
    except CycleError as error:  # Hydra would follow the defaults for ever
        raise UserError(f"{error.args[1][0]}: its defaults lead back to itself; name another config there") from error


def _named_bases(path: Path, group: str, values: dict[str, Any]) -> list[Path]:
    """Where the configs of the same group lie that a config's defaults name, if the user has them."""
    defaults = values.get("defaults", [])
    if not isinstance(defaults, list):
        raise UserError(f"{path}: defaults must be a list, as in `defaults: [NAME, _self_]`, got {defaults}")
    names = [entry.removeprefix(f"/{group}/") for entry in defaults if isinstance(entry, str)]
    if "_self_" in names[:-1]:
        raise UserError(f"{path}: _self_ must be the last of its defaults, or {names[-1]} replaces its values")
    return [path.with_name(f"{name}.yaml") for name in names]


def user_config_dirs() -> tuple[Path, ...]:
    """The user's folders, in the order in which they were named."""
    return tuple(Path(word) for word in os.environ.get(VARIABLE, "").split(os.pathsep) if word)


def config_dirs() -> tuple[Path, ...]:
    """Every folder of configs, the package's first; of two configs with one name the first wins, as in Hydra."""
    return (CONFIGS, *user_config_dirs())


def cached_per_config_dirs(read: Callable[Arguments, T]) -> Callable[Arguments, T]:
    """A cache of a function that reads configs: it reads them again where the user named another folder."""

    @cache
    def read_from(folders: tuple[Path, ...], *args: Any, **kwargs: Any) -> T:
        return read(*args, **kwargs)

    @wraps(read)
    def read_or_remember(*args: Arguments.args, **kwargs: Arguments.kwargs) -> T:
        return read_from(config_dirs(), *args, **kwargs)

    return read_or_remember


def config_files(group: str) -> dict[str, Path]:
    """Option name -> yaml file of a config group, sorted by name."""
    files: dict[str, Path] = {}
    for folder in config_dirs():
        for path in (folder / group).glob("*.yaml"):
            files.setdefault(path.stem, path)
    return dict(sorted(files.items()))


def config_bases(group: str, name: str) -> list[str]:
    """The configs of the group that a config is derived from by its defaults list, the nearest first."""
    path = config_files(group).get(name)
    values = read_config(path) if path else {}
    direct = [entry for entry in values.get("defaults", []) if isinstance(entry, str) and entry in config_files(group)]
    return [base for entry in direct for base in (entry, *config_bases(group, entry))]


def config_values(group: str, name: str) -> dict[str, Any]:
    """The values in the file of a config alone, with interpolations as texts."""
    return read_config(config_files(group)[name])


@cache
def read_config(path: Path) -> dict[str, Any]:
    """The content of a yaml file, with interpolations as texts. Raises UserError where it holds no mapping.

    It is read once per process: do not change it.
    """
    try:
        values: Any = OmegaConf.to_container(OmegaConf.load(path))
    # OmegaConf raises a ValueError for another encoding or a value that no config holds, an OSError for a lone number.
    except (ValueError, YAMLError, OSError) as error:
        raise UserError(f"{path} cannot be read as yaml in UTF-8: {squeeze(error)}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold lines `FIELD: VALUE`, got a list")
    return values


def config_options(group: str) -> list[str]:
    """The options of a config group: its files, without those that `wandb sweep` reads."""
    return [name for name in config_files(group) if name not in sweep_files(group)]


def sweep_files(group: str) -> list[str]:
    """The files in the folder of a config group that `wandb sweep` reads, as configs/wandb/roadmap.yaml."""
    texts = {name: path.read_text(encoding="utf-8") for name, path in config_files(group).items()}
    return [name for name, text in texts.items() if re.search(r"^program:", text, re.MULTILINE)]


def config_groups() -> list[str]:
    """The config groups of every folder, sorted by name, without Hydra's."""
    folders = [folder for root in config_dirs() for folder in root.iterdir()]
    return sorted({folder.name for folder in folders if folder.name != "hydra" and any(folder.glob("*.yaml"))})
