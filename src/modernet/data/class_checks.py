"""Classes without images in an .npz file; those of class folders are errors where the folders are listed."""

from collections.abc import Mapping, Sequence

from modernet.config.schema import DataConfig
from modernet.data.file_lists import SHOWN_CLASSES
from modernet.errors import UserError
from modernet.runtime.text import shorten

ImagesPerClass = Mapping[str, Sequence[int]]  # `train` and `test`, by label


def missing_classes(data: DataConfig, images: ImagesPerClass, num_classes: int) -> list[str]:
    """One line for each split that is read and has no image of some classes."""
    missing = {
        split: [label for label in range(num_classes) if not any(images[split][label : label + 1])]
        for split in data.split.split("/")
        if split in images  # the split `val` is held out of train, each class of it
    }
    if not any(missing.values()):
        return []
    from modernet.data.class_names import class_names  # imports numpy, which a finished run does not need

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
