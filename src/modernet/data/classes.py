"""The classes of a data set: their names, also those that a run keeps, and classes without images."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from modernet.config.schema import DataConfig
from modernet.data.file_lists import SHOWN_CLASSES, list_train_images
from modernet.data.file_paths import npz_path
from modernet.errors import UserError
from modernet.runtime.file_names import CLASSES_FILE
from modernet.runtime.text import shorten

ImagesPerClass = Mapping[str, Sequence[int]]  # `train` and `test`, by label


def known_class_names(data: DataConfig) -> Sequence[str]:
    """Those of the folders of the classes, or in the .npz file; empty where the files hold none."""
    if data.kind == "folder":
        return list_train_images(data).classes
    if data.kind == "npz":
        import numpy as np  # a finished run does not need it

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


def missing_classes(data: DataConfig, images: ImagesPerClass, num_classes: int) -> list[str]:
    """One line for each split that is read and has no image of some classes."""
    missing = {
        split: [label for label in range(num_classes) if not any(images[split][label : label + 1])]
        for split in data.split.split("/")
        if split in images  # the split `val` is held out of train, each class of it
    }
    if not any(missing.values()):
        return []
    names = class_names(data, num_classes)
    shown = {split: shorten([names[label] for label in labels], SHOWN_CLASSES) for split, labels in missing.items()}
    start = f"data={data.name}: y_"
    return [f"{start}{split} has no image of class {classes}" for split, classes in shown.items() if classes]


def check_classes(data: DataConfig, images: ImagesPerClass, num_classes: int) -> None:
    """Raises UserError for images of one class, and for a class without images unless data.num_classes is set."""
    if sum(map(bool, images["train"])) < 2:
        raise UserError(f"data={data.name}: y_train has one class only; a network learns to tell at least 2 apart")
    if data.num_classes is None and (missing := missing_classes(data, images, num_classes)):
        raise UserError(
            f"{'; '.join(missing)}; labels count from 0, and every class needs images in each split; "
            f"data.num_classes={num_classes} allows classes without"
        )
