"""A finished run, trained once."""

from pathlib import Path

import pytest
from helpers import short_experiment, train_to_record


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """A finished run of convnext on the digits, with averaged weights; tests do not change it."""
    folder = tmp_path_factory.mktemp("runs") / "digits" / "convnext"
    return train_to_record(folder, short_experiment(epochs=1, ema_decay=0.5))
