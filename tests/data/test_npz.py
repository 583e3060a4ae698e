"""Data sets in .npz files: every wrong array is refused with what is allowed."""

import json
from collections.abc import Callable
from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest
from helpers import data_config, execution_config, printed_record, short_experiment

from modernet.config.schema import DataConfig
from modernet.data.classes import known_class_names
from modernet.data.fingerprint import inspect_data, resolve_data
from modernet.data.in_memory import load_images
from modernet.errors import UserError
from modernet.training.trainer import Trainer

Arrays = dict[str, np.ndarray]


@pytest.fixture
def arrays() -> Arrays:
    """60 + 20 random images of three classes."""
    generator, sizes = np.random.default_rng(0), {"train": 60, "test": 20}
    images = {f"x_{split}": generator.integers(0, 256, (n, 32, 32, 3), np.uint8) for split, n in sizes.items()}
    return images | {f"y_{split}": np.arange(n, dtype=np.uint8) % 3 for split, n in sizes.items()}


@pytest.fixture
def save_npz(tmp_path, arrays) -> Callable[..., DataConfig]:
    """Save the arrays as cifar10.npz, with these changes (None removes one); returns the config that reads them."""

    def save(**changes) -> DataConfig:
        saved = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
        np.savez(tmp_path / "cifar10.npz", **saved)
        return data_config("cifar10", root=str(tmp_path))

    return save


def test_cifar10_is_complete(cifar10_root):
    train, test = load_images(data_config("cifar10", root=str(cifar10_root)))
    assert train.labels.bincount().tolist() == [5000] * 10
    assert test.labels.bincount().tolist() == [1000] * 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": None}, "has no array y_train; it must hold x_train, y_train, x_test and y_test"),
        ({"x_train": np.zeros((60, 28, 28), np.uint8)}, r"x_train must be \(N, H, W, 3\) uint8, got \(60, 28, 28\)"),
        ({"x_train": np.zeros((60, 28, 28, 3), np.uint8)}, r"x_train must be \(N, 32, 32, 3\) uint8 .*got \(60, 28"),
        ({"x_test": np.zeros((20, 32, 32, 3))}, r"x_test must be .* uint8, got \(20, 32, 32, 3\) float64"),
        ({"y_test": np.zeros(7, np.uint8)}, r"y_test must be \(20,\) integers, got \(7,\)"),
        ({"y_test": np.zeros(20)}, r"y_test must be \(20,\) integers, got \(20,\) float64"),
        ({"y_train": np.full(60, 10)}, r"y_train must lie in 0..9 .*got 10..10"),
        ({"y_train": np.full(60, -1)}, r"y_train must hold integers from 0, got -1"),
        ({"x_test": np.zeros((0, 32, 32, 3), np.uint8), "y_test": np.zeros(0, np.uint8)}, "at least 1 image, got none"),
        (
            {"y_train": np.full(60, 10**12)},
            "has a label 1000000000000; labels are numbers of classes",
        ),
        ({"classes": np.array(["cat", "dog"])}, "classes has 2 names, but there is a label 2"),
        ({"classes": np.array([*"abcdefghia"])}, "classes has a name twice"),
        ({"classes": np.array([[*"abcde"], [*"fghij"]])}, r"classes must be \(num_classes,\), .*, got \(2, 5\)"),
        ({"classes": np.array("a")}, r"classes must be \(num_classes,\), .*, got \(\)"),
    ],
)
def test_invalid_arrays_are_refused(save_npz, changes, message):
    with pytest.raises(UserError, match=message):
        load_images(save_npz(**changes))


def test_names_of_classes_may_be_bytes(save_npz):
    assert known_class_names(save_npz(classes=np.array([*"abcdefghij"], "S1"))) == [*"abcdefghij"]


def test_missing_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"data\.root=DIR or MODERNET_DATA=DIR.* `modernet get_data cifar10"):
        load_images(data_config("cifar10", root=None))
    with pytest.raises(UserError, match=r"there is no file .*cifar10\.npz"):
        load_images(data_config("cifar10", root=str(tmp_path)))
    with pytest.raises(UserError, match=r"there is no file .*mine\.npz.* must hold the arrays x_train, y_train"):
        load_images(replace(data_config("cifar10", root=str(tmp_path)), name="mine"))
    (tmp_path / "cifar10.npz").write_bytes(b"PK\x03\x04 truncated")
    with pytest.raises(UserError, match=r"not a readable \.npz file"):
        load_images(data_config("cifar10", root=str(tmp_path)))


def test_holding_out_needs_an_image_per_class(save_npz):
    few = {"x_train": np.zeros((12, 32, 32, 3), np.uint8), "y_train": np.arange(12, dtype=np.uint8) % 10}
    with pytest.raises(UserError, match=r"train/val.* 12 images are too few"):
        load_images(data_config("cifar10", root=save_npz(**few).root, split="train/val"))


def labels(*present: int, n: int = 60) -> np.ndarray:
    return np.resize(np.array(present), n)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"y_train": labels(1, 2, 3), "y_test": labels(1, 2, 3, n=20)},
            "y_train has no image of class 0; .*y_test",
        ),
        ({"y_train": labels(0, 2, 4), "y_test": labels(0, 2, 4, n=20)}, "y_train has no image of class 1, 3"),
        ({"y_train": labels(0, 1)}, "y_train has no image of class 2; labels count from 0.*data.num_classes=3 allows"),
        ({"y_test": labels(0, 1, n=20)}, "data=cifar10: y_test has no image of class 2; labels"),
        ({"classes": np.array(["ant", "bee", "cow", "dog"])}, "y_train has no image of class dog; .*y_test .*dog"),
        ({"y_train": labels(0), "y_test": labels(0, n=20)}, "has 1 class; a network learns to tell at least 2 apart"),
    ],
)
def test_classes_without_images_are_refused_as_in_folders(save_npz, changes, message):
    experiment = short_experiment(data=replace(save_npz(**changes), num_classes=None))
    with pytest.raises(UserError, match=message):
        resolve_data(experiment)


def test_held_out_images_need_no_class_of_test(save_npz):
    data = replace(save_npz(y_test=labels(0, n=20)), num_classes=None, split="train/val")
    assert resolve_data(short_experiment(data=data)).data.num_classes == 3


def test_a_part_of_the_classes_of_a_known_data_set_is_named_in_the_log(save_npz, tmp_path):
    """data=cifar10 says that there are ten classes."""
    data = save_npz(classes=np.array(list("abcdefghij")))
    experiment = resolve_data(short_experiment(data=data, epochs=1, batch_size=30))
    Trainer.from_experiment(experiment, tmp_path / "run", execution_config()).train()
    log = (tmp_path / "run/train.log").read_text()
    for split in ("train", "test"):
        assert f"data=cifar10: y_{split} has no image of class d, e, f, g, h, i, j" in log
    with pytest.raises(UserError, match="y_train has one class only"):
        resolve_data(short_experiment(data=save_npz(y_train=labels(1))))


def test_facts_that_earlier_versions_cached_are_read_again(save_npz, tmp_path):
    data = replace(save_npz(y_train=labels(0, 1)), num_classes=None)
    inspect_data(data)
    copy = copytree(tmp_path, tmp_path / "copy")  # whose facts this process does not know
    cache = copy / "cifar10.npz.fingerprint.json"
    earlier = json.loads(cache.read_text())
    del earlier["facts"]["images_per_class"]
    cache.write_text(json.dumps(earlier))
    with pytest.raises(UserError, match="no image of class 2"):
        resolve_data(short_experiment(data=replace(data, root=str(copy))))


def test_users_npz_trains_with_a_config_in_their_folder(train_in_process, tmp_path, arrays):
    np.savez(
        tmp_path / "mine.npz",
        **{name: array[:, :8, :8] if array.ndim == 4 else array for name, array in arrays.items()},
    )
    (tmp_path / "configs/data").mkdir(parents=True)
    (tmp_path / "configs/data/mine.yaml").write_text("name: mine\nkind: npz\nimage_size: 8\ncrop_padding: 1\n")
    recipe = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=20", "model.width=8")
    data = ("--config-dir", tmp_path / "configs", "data=mine", f"+data.root={tmp_path}")
    record = printed_record(train_in_process("+step=gelu", *data, *recipe))
    assert record["data"] == "mine"
    assert record["config"]["data"]["num_classes"] == 3
