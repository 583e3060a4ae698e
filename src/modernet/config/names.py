"""Display names of steps, protocols and changes, from names.yaml."""

from collections.abc import Iterable

from modernet.config.search_path import NAMES_FILE, cached_per_config_dirs, config_dirs, read_config
from modernet.errors import UserError

SECTIONS = ("step", "protocol", "change")


def step_name(step: str) -> str:
    """patchify_stem -> Patchify stem."""
    return _names()["step"].get(step) or _write_out(step)


def protocol_name(protocol: str) -> str:
    """cifar10_micro -> CIFAR-10."""
    return _names()["protocol"].get(protocol) or _write_out(protocol)


def change_name(change: str) -> str:
    """act=relu -> ReLU; recipe.min_lr=0.1 -> min lr 0.1."""
    field, _, value = change.partition("=")
    names = _names()["change"]
    text = names.get(change) or names.get(field)
    if text is None:
        return f"{field.rpartition('.')[2].replace('_', ' ')} {value}".strip()
    return text.replace("{}", value)


def variant_name(variant: str) -> str:
    """convnext+act=relu -> ConvNeXt, ReLU."""
    step, *changes = variant.split("+")
    return ", ".join([step_name(step), *map(change_name, changes)])


def study_name(protocol: str, size: str, changes: str = "", epochs: Iterable[int] = ()) -> str:
    """The title of a table or figure: CIFAR-10, 16 epochs, size micro, learning rate 0.01.

    `changes` are those to recipe and data, as in a group of the results table. `epochs` are those of its runs.
    """
    lengths = sorted(set(epochs))
    others = [change_name(change) for change in changes.split("+") if change and not (lengths and _is_length(change))]
    return ", ".join([protocol_name(protocol), *_format_epochs(lengths), f"size {size}", *others])


def _is_length(change: str) -> bool:
    return change.startswith("recipe.epochs=")


def _format_epochs(lengths: list[int]) -> list[str]:
    if not lengths:
        return []
    text = " and ".join(map(str, lengths)) if len(lengths) < 3 else f"{lengths[0]} to {lengths[-1]}"
    return [f"{text} epoch{'s' * (lengths != [1])}"]


def _write_out(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


@cached_per_config_dirs
def _names() -> dict[str, dict[str, str]]:
    """Section -> name in the configs -> display name."""
    names: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for path in (folder / NAMES_FILE for folder in config_dirs()):
        if not path.is_file():
            continue
        content = read_config(path)
        if not all(isinstance(entries, dict) for entries in content.values()):
            raise UserError(f"{path} must hold tables of names; allowed: {', '.join(SECTIONS)}")
        for section, entries in content.items():
            if section not in SECTIONS:
                raise UserError(f"{path} has a table '{section}'; allowed: {', '.join(SECTIONS)}")
            names[str(section)] |= {str(name): str(text) for name, text in entries.items()}
    return names
