"""Data sets in memory: fixed splits, and batches that are a function of (seed, epoch, step)."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers import ALL_AUGMENTATION, NO_AUGMENTATION, data_config, recipe_config
from image_files import equal_batches

from modernet.data.fingerprint import inspect_data
from modernet.data.in_memory import InMemoryLoader, LabeledImages, load_images
from modernet.errors import UserError
from modernet.runtime.distributed import DistributedEnv, batch_layout


def test_digits_have_a_fixed_split():
    train, test = load_images(data_config("digits"))
    assert (len(train), len(test)) == (1437, 360)
    assert train.images.shape[1:] == (3, 8, 8)
    assert train.images.dtype == torch.uint8
    assert train.images.max() == 255
    assert train.labels.bincount().min() > 130
    again, _ = load_images(data_config("digits"))
    assert torch.equal(train.images, again.images)
    facts = inspect_data(data_config("digits", num_classes=None))
    assert (facts.num_classes, facts.train_images, facts.test_images) == (10, len(train), len(test))
    assert facts.fingerprint is None


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_mean_and_std_are_those_of_the_training_images(name, request):
    root = str(request.getfixturevalue("cifar10_root")) if name == "cifar10" else None
    data = data_config(name, root=root)
    images = load_images(data)[0].images
    total = square = torch.zeros(3, dtype=torch.float64)
    for chunk in images.split(5000):  # all of CIFAR-10 in float64 takes 1.2 GB
        pixels = chunk.transpose(0, 1).flatten(1).double() / 255  # (N, 3, H, W) -> (3, N * H * W)
        total, square = total + pixels.sum(1), square + (pixels**2).sum(1)
    mean = total / images[:, 0].numel()
    std = (square / images[:, 0].numel() - mean**2).sqrt()
    assert mean.tolist() == pytest.approx(data.mean, abs=1e-3)
    assert std.tolist() == pytest.approx(data.std, abs=1e-3)


def test_held_out_images_come_from_train_and_never_from_test():
    train, test = load_images(data_config("digits"))
    kept, held_out = load_images(data_config("digits", split="train/val"))
    assert (len(kept), len(held_out)) == (1293, 144)

    def contents(*splits: LabeledImages) -> list[bytes]:
        return sorted(image.numpy().tobytes() for split in splits for image in split.images)

    assert contents(kept, held_out) == contents(train)
    assert held_out.labels.bincount().min() >= 14
    assert not torch.equal(held_out.images, test.images[: len(held_out)])


def test_fake_data_needs_its_numbers_of_images():
    data = data_config("fake", image_size=8, num_classes=3, train_images=6, test_images=4)
    train, test = load_images(data)
    assert train.images.shape == (6, 3, 8, 8)
    assert len(test) == 4
    with pytest.raises(UserError, match=r"data=fake needs data\.train_images=N"):
        load_images(replace(data, train_images=None))


def small_loader(
    n: int, batch_size: int, env: DistributedEnv | None = None, micro_batch_size: int | None = None, **recipe: Any
) -> InMemoryLoader:
    """A loader of `n` random images with the labels 0 to n - 1, by default without augmentation."""
    data = data_config("digits", crop_padding=0, num_classes=n)
    recipe_ = recipe_config("modern", **{**NO_AUGMENTATION, "batch_size": batch_size, **recipe})
    layout = batch_layout(env or DistributedEnv(), batch_size, micro_batch_size)
    images = LabeledImages(torch.randint(256, (n, 3, 8, 8), dtype=torch.uint8), torch.arange(n))
    return InMemoryLoader(images, images, data, recipe_, 0, layout)


def test_train_batches_are_a_function_of_seed_epoch_and_step():
    loader = small_loader(20, 8, **ALL_AUGMENTATION)
    batches = list(loader.train_batches(3))
    assert [len(labels) for _, labels in batches] == [8, 8]
    torch.rand(7)  # draws in between change nothing
    assert equal_batches(batches, loader.train_batches(3))
    assert equal_batches(batches[1:], loader.train_batches(3, first_step=1))
    assert not equal_batches(batches, loader.train_batches(4))
    assert not equal_batches(batches, replace(loader, seed=1).train_batches(3))


def test_epoch_holds_every_image_once_in_a_new_order():
    loader = small_loader(24, 8)
    first, second = (torch.cat([labels for _, labels in loader.train_batches(epoch)]).tolist() for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second


def test_ranks_and_micro_batches_divide_every_batch_and_the_evaluation():
    batches = [labels for _, labels in small_loader(40, 16).train_batches(5)]
    ranks = [
        [labels for _, labels in small_loader(40, 16, DistributedEnv(rank, 2), 4).train_batches(5)] for rank in (0, 1)
    ]
    assert [len(labels) for labels in ranks[0]] == [4, 4, 4, 4]  # two steps of two micro-batches
    for step, batch in enumerate(batches):
        two_micro_batches = slice(2 * step, 2 * step + 2)
        assert torch.equal(torch.cat([*ranks[0][two_micro_batches], *ranks[1][two_micro_batches]]), batch)
    evaluated = [
        labels for rank in (0, 1, 2) for _, labels in small_loader(40, 6, DistributedEnv(rank, 3), 2).eval_batches()
    ]
    assert sorted(torch.cat(evaluated).tolist()) == list(range(40))


def test_a_rank_without_an_image_has_no_evaluated_batch():
    """The loss of an empty batch is NaN, and so would be that of all ranks."""
    images = LabeledImages(torch.zeros(3, 3, 8, 8, dtype=torch.uint8), torch.arange(3))
    batches = [
        list(replace(small_loader(40, 8, DistributedEnv(rank, 4), 2), test=images).eval_batches()) for rank in range(4)
    ]
    assert [[len(labels) for _, labels in own] for own in batches] == [[1], [1], [1], []]


@pytest.mark.parametrize("micro_batch_size", [None, 32, 16])
def test_repeated_augmentation_repeats_images_within_a_batch_but_not_beside_themselves(micro_batch_size):
    """Of 1,437 images, an epoch of 22 batches has 470, most of them three times. Mixup and CutMix mix neighbours."""
    images = torch.arange(1437).reshape(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    numbered = LabeledImages(images.to(torch.uint8), torch.arange(1437))
    recipe = recipe_config("a2", batch_size=64, **NO_AUGMENTATION)
    layout = batch_layout(DistributedEnv(), 64, micro_batch_size)
    loader = InMemoryLoader(numbered, numbered, data_config("digits", num_classes=1437), recipe, 0, layout)
    micro_batches = [labels for _, labels in loader.train_batches(0)]
    for labels in micro_batches:
        assert (labels != labels.roll(1)).all()
    for labels in torch.cat(micro_batches).split(64):
        copies = labels.unique(return_counts=True)[1]
        assert (copies == 3).sum() >= 20  # 64 images; the copies of the first and of the last may be in other batches
    assert len(torch.cat(micro_batches).unique()) == 470
