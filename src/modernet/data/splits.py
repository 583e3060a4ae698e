"""The split that hyperparameters are tuned on: images held out of train. The test images stay untouched."""

from typing import Any

import numpy as np

from modernet.errors import UserError

HELD_OUT = 0.1  # fraction of each class


def hold_out(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and indices to tune on, the same for the same labels (N,).

    Raises UserError where train is too small.
    """
    from sklearn.model_selection import train_test_split  # takes long to import, and few runs need it

    classes, counts = np.unique(labels, return_counts=True)
    if min(counts) < 2 or len(labels) * HELD_OUT < len(classes):
        raise UserError(
            f"data.split=train/val holds {HELD_OUT:.0%} of train out and needs an image of each class there; "
            f"{len(labels)} images are too few"
        )
    indices: Any = train_test_split(np.arange(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=0)
    return indices[0], indices[1]
