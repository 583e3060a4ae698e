"""Where the files of a data set lie below data.root, and what to do where they are missing; without torch."""

from pathlib import Path

from modernet.config.schema import DataConfig
from modernet.errors import MissingData

# Name of a data set -> its folder in data.root.
SUBFOLDERS = {"imagenette": "imagenette160", "imagewoof": "imagewoof160", "imagenet": "imagenet"}
DOWNLOADED = ("cifar10", "cifar100", "tiny_imagenet", "imagenet64")  # .npz files that `modernet get_data` makes


def npz_path(data: DataConfig) -> Path:
    """ROOT/NAME.npz. Raises UserError where data.root is missing or holds no such file."""
    hint = npz_hint(data.name)
    if data.root is None:
        raise MissingData(
            f"data={data.name} needs data.root=DIR or MODERNET_DATA=DIR, the folder of {data.name}.npz; {hint}"
        )
    path = Path(data.root) / f"{data.name}.npz"
    if not path.is_file():
        raise MissingData(f"there is no file {path}; data.root or MODERNET_DATA names its folder, and {hint}")
    return path


def npz_hint(name: str) -> str:
    """Where a data set's .npz file comes from, for error messages."""
    if name in DOWNLOADED:
        return f"`modernet get_data {name} DIR` makes DIR/{name}.npz"
    return f"{name}.npz must hold the arrays x_train, y_train, x_test and y_test"


def required_root(data: DataConfig, meaning: str) -> Path:
    """data.root. Raises UserError, with its meaning, where it is missing."""
    if data.root is None:
        variable = " or MODERNET_DATA=DIR" if data.name in SUBFOLDERS else ""
        raise MissingData(f"data={data.name} needs data.root=DIR{variable}, {meaning}")
    return Path(data.root)
