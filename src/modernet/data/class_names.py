"""The names of a data set's classes, and those that a run keeps for itself."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modernet.config.schema import DataConfig
from modernet.data.file_lists import list_train_images, npz_path
from modernet.errors import UserError
from modernet.runtime.file_names import CLASSES_FILE


def known_class_names(data: DataConfig) -> Sequence[str]:
    """Those of the folders of the classes, or in the .npz file; empty where the files hold none."""
    if data.kind == "folder":
        return list_train_images(data).classes
    if data.kind == "npz":
        with npz_path(data).open("rb") as raw, np.load(raw) as file:
            names = file["classes"].tolist() if "classes" in file else ()
        return [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in names]
    return ()


def class_names(data: DataConfig, num_classes: int) -> Sequence[str]:
    """One for each output; the numbers of the labels without names.

    data.num_classes may be more or fewer than a file has names, as long as it covers the labels.
    """
    names = known_class_names(data)[:num_classes]
    return [*names, *(str(label) for label in range(len(names), num_classes))]


def load_class_names(folder: Path, num_classes: int) -> Sequence[str]:
    """The names in a run's folder, one for each output; empty without the file, as in earlier runs.

    Raises UserError for a file that holds something else.
    """
    path = folder / CLASSES_FILE
    if not path.is_file():
        return ()
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or len(names) != num_classes or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path} must hold a list of {num_classes} texts, the names of the classes; it may be deleted")
    return names
