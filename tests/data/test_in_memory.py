"""Data sets in memory are checked when they are read, and batches are a function of (seed, epoch, step)."""

from dataclasses import replace
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import NO_AUGMENTATION, ROOT, data_config, recipe_config

from modernet.data.loader import in_memory as arrays
from modernet.errors import UserError
from modernet.runtime.distributed import DistributedEnv, batch_layout
from modernet.config.schema import DataConfig


@pytest.fixture
def contents() -> dict[str, np.ndarray]:
    """A CIFAR-10 of 60 + 20 images."""
    rng = np.random.default_rng(0)
    sizes = {"train": 60, "test": 20}
    images = {f"x_{split}": rng.integers(0, 256, (n, 32, 32, 3), np.uint8) for split, n in sizes.items()}
    return images | {f"y_{split}": np.arange(n, dtype=np.uint8) % 3 for split, n in sizes.items()}


@pytest.fixture
def saved(tmp_path, contents):
    """Save the arrays with these changes (None: without it), and give the spec that reads them."""

    def save(**changes) -> DataConfig:
        kept = {name: array for name, array in {**contents, **changes}.items() if array is not None}
        np.savez(tmp_path / "cifar10.npz", **kept)
        return data_config("cifar10", root=str(tmp_path))

    return save


def test_digits_are_split_once_and_for_all():
    train, test = arrays.read(data_config("digits"))
    assert (len(train), len(test)) == (1437, 360)
    assert train.images.shape[1:] == (3, 8, 8)
    assert train.images.dtype == torch.uint8
    assert train.images.max() == 255
    assert train.labels.bincount().min() > 130
    again, _ = arrays.read(data_config("digits"))
    assert torch.equal(train.images, again.images)


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_mean_and_std_are_those_of_the_training_images(name, request):
    root = str(request.getfixturevalue("cifar10_root")) if name == "cifar10" else None
    declared = data_config(name, root=root)
    pixels = arrays.read(declared)[0].images.double().div(255).transpose(0, 1).flatten(1)
    assert pixels.mean(1).tolist() == pytest.approx(declared.mean, abs=1e-3)
    assert pixels.std(1).tolist() == pytest.approx(declared.std, abs=1e-3)


def test_cifar10_is_whole(cifar10_root):
    train, test = arrays.read(data_config("cifar10", root=str(cifar10_root)))
    assert train.labels.bincount().tolist() == [5000] * 10
    assert test.labels.bincount().tolist() == [1000] * 10


def test_held_out_images_come_from_train_and_never_from_test():
    train, test = arrays.read(data_config("digits"))
    kept, held = arrays.read(data_config("digits", split="train/val"))
    assert (len(kept), len(held)) == (1293, 144)

    def bag(*parts: arrays.Images) -> list[bytes]:
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
        arrays.read(saved(**changes))


def test_missing_and_broken_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"data\.root=DIR or MODERNET_DATA=DIR"):
        arrays.read(data_config("cifar10", root=None))
    with pytest.raises(UserError, match=r"there is no file .*cifar10\.npz"):
        arrays.read(data_config("cifar10", root=str(tmp_path)))
    (tmp_path / "cifar10.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UserError, match=r"not a readable \.npz file"):
        arrays.read(data_config("cifar10", root=str(tmp_path)))


def test_too_few_images_to_hold_some_out_are_refused(saved):
    few = {"x_train": np.zeros((12, 32, 32, 3), np.uint8), "y_train": np.arange(12, dtype=np.uint8) % 10}
    with pytest.raises(UserError, match=r"train/val.* 12 images are too few"):
        arrays.read(data_config("cifar10", root=saved(**few).root, split="train/val"))


def images(n: int = 8) -> arrays.Images:
    return arrays.Images(torch.randint(256, (n, 3, 8, 8), dtype=torch.uint8), torch.arange(n))


def loader(n: int, batch: int, place: DistributedEnv | None = None, micro_batch_size: int | None = None, **changes: Any):
    """A loader of `n` random images, not augmented unless told."""
    like, how = (
        data_config("digits", crop_padding=0, num_classes=n),
        recipe_config("modern", **{**PLAIN, "batch_size": batch, **changes}),
    )
    share = batch_layout(place or DistributedEnv(), batch, micro_batch_size)
    return arrays.ArrayLoader(images(n), images(n), like, how, 0, share)


def test_batches_are_a_function_of_seed_and_epoch():
    torch.manual_seed(0)
    hard: dict[str, Any] = {"randaugment": 9.0, "mixup_alpha": 0.8, "cutmix_alpha": 1.0, "random_erasing_prob": 0.25}
    some = loader(20, 8, **hard)

    def same(one, other) -> bool:
        return all(torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in zip(one, other, strict=True))

    first = list(some.training(3))
    assert [len(labels) for _, labels in first] == [8, 8]
    torch.rand(7)  # whatever was drawn in between
    assert same(first, some.training(3))
    assert same(first[1:], some.training(3, start=1))
    assert not same(first, some.training(4))
    assert not same(first, replace(some, seed=1).training(3))


def test_an_epoch_has_every_image_once_in_an_order_of_its_own():
    some = loader(24, 8)
    first, second = (torch.cat([labels for _, labels in some.training(epoch)]).tolist() for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second


def test_processes_and_passes_divide_every_batch_and_the_evaluation():
    whole = [labels for _, labels in loader(40, 16).training(5)]
    parts = [
        [labels for _, labels in loader(40, 16, place=DistributedEnv(rank, 2), micro_batch_size=4).training(5)] for rank in (0, 1)
    ]
    assert [len(part) for part in parts[0]] == [4, 4, 4, 4]  # two steps of two passes
    for step, batch in enumerate(whole):
        assert torch.equal(torch.cat([*parts[0][2 * step : 2 * step + 2], *parts[1][2 * step : 2 * step + 2]]), batch)
    scored = [labels for rank in (0, 1, 2) for _, labels in loader(40, 3, place=DistributedEnv(rank, 3)).evaluation()]
    assert sorted(torch.cat(scored).tolist()) == list(range(40))


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(UserError, match=r"batch_size=64 must be a multiple of 3 devices x micro_batch_size=21"):
        batch_layout(DistributedEnv(0, 3), 64, None)
    assert str(batch_layout(DistributedEnv(0, 8), 4096, 128)) == "4096 images a step = devices 8 x per device 128 x passes 4"


def test_get_data_writes_what_the_loader_reads(tmp_path):
    write_npz = run_path(str(ROOT / "scripts/get_data.py"))["write_npz"]

    def part(n: int) -> SimpleNamespace:  # as torchvision's CIFAR10 holds it
        return SimpleNamespace(data=np.full((n, 32, 32, 3), n, np.uint8), targets=[1] * n, num_classes=["a", "b"])

    write_npz(tmp_path / "cifar10.npz", part(50), part(10))
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10.npz"]
    train, test = arrays.read(data_config("cifar10", root=str(tmp_path)))
    assert (len(train), len(test)) == (50, 10)
    assert train.images.unique().tolist() == [50]
