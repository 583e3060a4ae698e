"""get_data writes what the loader reads."""

from types import SimpleNamespace

import numpy as np
from helpers import data_config, run_script

from modernet.commands.get_data import write_npz
from modernet.data.fingerprint import inspect_data
from modernet.data.in_memory import load_images


def cifar_split(n: int) -> SimpleNamespace:
    """A split as torchvision's CIFAR10 holds it."""
    return SimpleNamespace(data=np.full((n, 32, 32, 3), n, np.uint8), targets=[1] * n, classes=["a", "b"])


def test_written_npz_is_what_the_loader_reads(tmp_path):
    write_npz(tmp_path / "cifar10.npz", cifar_split(50), cifar_split(10))
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10.npz"]
    data = data_config("cifar10", root=str(tmp_path), num_classes=None)
    assert inspect_data(data).num_classes == 2
    train, test = load_images(data)
    assert (len(train), len(test)) == (50, 10)
    assert train.images.unique().tolist() == [50]


def test_mistakes_are_explained(tmp_path):
    unknown = run_script("scripts/get_data.py", "mnist", tmp_path)
    assert unknown.returncode == 2
    assert "choose from cifar10, cifar100, imagenette" in unknown.stderr.replace("'", "")
    (tmp_path / "file").touch()
    no_folder = run_script("scripts/get_data.py", "cifar10", tmp_path / "file")
    assert no_folder.returncode == 2
    assert no_folder.stderr.startswith("get_data.py: error: the folder")
