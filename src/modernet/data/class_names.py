"""The names of a data set's classes."""

from collections.abc import Sequence

import numpy as np

from modernet.config.schema import DataConfig
from modernet.data.file_lists import list_images, npz_path


def class_names(data: DataConfig, num_classes: int) -> Sequence[str]:
    """One for each output: from the folders of the classes, or from the file; the numbers of the labels without names.

    data.num_classes may be more or fewer than a file has names, as long as it covers the labels.
    """
    if data.kind == "folder":
        return list_images(data)[0].classes
    names: list[str] = []
    if data.kind == "npz":
        with npz_path(data).open("rb") as raw, np.load(raw) as file:
            if "classes" in file:
                names = [str(name) for name in file["classes"][:num_classes]]
    return names + [str(label) for label in range(len(names), num_classes)]
