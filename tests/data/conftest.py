"""Fixtures: data sets of tiny image files."""

from pathlib import Path

import pytest
from image_files import write_folder, write_shards


@pytest.fixture
def image_folder(tmp_path) -> Path:
    """Two classes, 24 images to train on and 7 to evaluate on."""
    return write_folder(tmp_path / "images")


@pytest.fixture
def shards(tmp_path) -> Path:
    """The same numbers of images in tar files."""
    return write_shards(tmp_path / "shards")
