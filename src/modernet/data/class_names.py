"""The names of a data set's classes."""

from collections.abc import Sequence

import numpy as np

from modernet.config.schema import DataConfig
from modernet.data.file_lists import list_images, npz_path


def class_names(data: DataConfig, num_classes: int) -> Sequence[str]:
    """From the folders of the classes, or from the file; the numbers of the labels where neither has names."""
    if data.kind == "folder":
        return list_images(data)[0].classes
    if data.kind == "npz":
        with npz_path(data).open("rb") as raw, np.load(raw) as file:
            if "classes" in file:
                return [str(name) for name in file["classes"]]
    return [str(label) for label in range(num_classes)]
