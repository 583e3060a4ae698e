"""Data sets are checked when they are read, and batches are a function of (seed, epoch, step)."""

from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import ROOT
from omegaconf import OmegaConf

from modernet import data
from modernet.errors import UserError
from modernet.spec import DataSpec
from modernet.steps import to_kwargs


def spec(name: str, **changes) -> DataSpec:
    return DataSpec(**{**to_kwargs(OmegaConf.load(ROOT / f"configs/data/{name}.yaml")), **changes})


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """A CIFAR-10 of 60 + 20 images."""
    rng = np.random.default_rng(0)
    sizes = {"train": 60, "test": 20}
    images = {f"x_{split}": rng.integers(0, 256, (n, 32, 32, 3), np.uint8) for split, n in sizes.items()}
    return images | {f"y_{split}": np.arange(n, dtype=np.uint8) % 3 for split, n in sizes.items()}


@pytest.fixture
def saved(tmp_path, arrays):
    """Save the arrays with these changes (None: without it), and give the spec that reads them."""

    def save(**changes) -> DataSpec:
        kept = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
        np.savez(tmp_path / "cifar10.npz", **kept)
        return spec("cifar10", root=str(tmp_path))

    return save


def test_digits_are_split_once_and_for_all():
    train, test = data.load(spec("digits"))
    assert (len(train), len(test)) == (1437, 360)
    assert train.images.shape[1:] == (3, 8, 8)
    assert train.images.dtype == torch.uint8
    assert train.images.max() == 255
    assert train.labels.bincount().min() > 130
    again, _ = data.load(spec("digits"))
    assert torch.equal(train.images, again.images)


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_mean_and_std_are_those_of_the_training_images(name, request):
    root = str(request.getfixturevalue("cifar10_root")) if name == "cifar10" else None
    declared = spec(name, root=root)
    pixels = data.load(declared)[0].images.double().div(255).transpose(0, 1).flatten(1)
    assert pixels.mean(1).tolist() == pytest.approx(declared.mean, abs=1e-3)
    assert pixels.std(1).tolist() == pytest.approx(declared.std, abs=1e-3)


def test_cifar10_is_whole(cifar10_root):
    train, test = data.load(spec("cifar10", root=str(cifar10_root)))
    assert train.labels.bincount().tolist() == [5000] * 10
    assert test.labels.bincount().tolist() == [1000] * 10


def test_held_out_images_come_from_train_and_never_from_test():
    train, test = data.load(spec("digits"))
    kept, held = data.load(spec("digits", split="train/val"))
    assert (len(kept), len(held)) == (1293, 144)

    def bag(*parts: data.Images) -> list[bytes]:
        return sorted(image.numpy().tobytes() for part in parts for image in part.images)

    assert bag(kept, held) == bag(train)
    assert held.labels.bincount().min() >= 14
    assert not torch.equal(held.images, test.images[: len(held)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": None}, "has no array y_train; it must hold x_train, y_train, x_test and y_test"),
        ({"x_train": np.zeros((60, 28, 28), np.uint8)}, r"x_train must be \(N, 32, 32, 3\) uint8, got \(60, 28, 28\)"),
        ({"x_test": np.zeros((20, 32, 32, 3))}, r"x_test must be .* uint8, got \(20, 32, 32, 3\) float64"),
        ({"y_test": np.zeros(7, np.uint8)}, r"y_test must be \(20,\) integers, got \(7,\)"),
        ({"y_test": np.zeros(20)}, r"y_test must be \(20,\) integers, got \(20,\) float64"),
        ({"y_train": np.full(60, 10)}, r"y_train must lie in 0..9, got 10..10"),
        ({"x_test": np.zeros((0, 32, 32, 3), np.uint8), "y_test": np.zeros(0, np.uint8)}, "at least 1, got no image"),
    ],
)
def test_wrong_arrays_are_refused_with_what_is_allowed(saved, changes, message):
    with pytest.raises(UserError, match=message):
        data.load(saved(**changes))


def test_missing_and_broken_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"data\.root=DIR or MODERNET_DATA=DIR"):
        data.load(spec("cifar10", root=None))
    with pytest.raises(UserError, match=r"there is no file .*cifar10\.npz"):
        data.load(spec("cifar10", root=str(tmp_path)))
    (tmp_path / "cifar10.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UserError, match=r"not a readable \.npz file"):
        data.load(spec("cifar10", root=str(tmp_path)))


def test_too_few_images_to_hold_some_out_are_refused(saved):
    few = {"x_train": np.zeros((12, 32, 32, 3), np.uint8), "y_train": np.arange(12, dtype=np.uint8) % 10}
    with pytest.raises(UserError, match=r"train/val.* 12 images are too few"):
        data.load(spec("cifar10", root=saved(**few).root, split="train/val"))


def images(n: int = 8) -> data.Images:
    return data.Images(torch.randint(256, (n, 3, 8, 8), dtype=torch.uint8), torch.arange(n))


def test_batches_are_a_function_of_seed_and_epoch():
    some, like = images(20), spec("digits")

    def epoch(seed: int, number: int) -> list[data.Batch]:
        return list(data.training_batches(some, like, 8, seed, number))

    first = epoch(0, 3)
    assert [len(labels) for _, labels in first] == [8, 8]
    assert torch.cat([labels for _, labels in first]).unique().numel() == 16
    torch.rand(7)  # whatever was drawn in between
    for (a, x), (b, y) in zip(first, epoch(0, 3), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(x, y)
    assert not torch.equal(first[0][1], epoch(0, 4)[0][1])
    assert not torch.equal(first[0][1], epoch(1, 3)[0][1])


def test_evaluation_sees_every_image_once_in_order():
    batches = list(data.evaluation_batches(images(20), spec("digits"), 8))
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(20))


def test_a_random_crop_is_a_shift_by_at_most_the_padding():
    some = images(64).images
    cropped = data.random_crop(some, 2, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(some, [2] * 4)
    places = set()
    for before, after in zip(padded, cropped, strict=True):
        found = [(y, x) for y in range(5) for x in range(5) if torch.equal(before[:, y : y + 8, x : x + 8], after)]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 15  # of 25


def test_half_of_the_images_are_mirrored():
    some = images(1000).images
    flipped = data.random_flip(some, torch.Generator().manual_seed(0))
    mirrored = (flipped == some.flip(-1)).flatten(1).all(1)
    same = (flipped == some).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 450 < mirrored.sum() < 550


def test_get_data_writes_what_the_loader_reads(tmp_path):
    write_npz = run_path(str(ROOT / "scripts/get_data.py"))["write_npz"]

    def part(n: int) -> SimpleNamespace:  # as torchvision's CIFAR10 holds it
        return SimpleNamespace(data=np.full((n, 32, 32, 3), n, np.uint8), targets=[1] * n, classes=["a", "b"])

    write_npz(tmp_path / "cifar10.npz", part(50), part(10))
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10.npz"]
    train, test = data.load(spec("cifar10", root=str(tmp_path)))
    assert (len(train), len(test)) == (50, 10)
    assert train.images.unique().tolist() == [50]
