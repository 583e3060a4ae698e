"""Augmentation of batches: single images exactly, probabilities over many draws."""

import numpy as np
import pytest
import torch
from helpers import data_config, recipe_config
from timm.data.mixup import Mixup
from timm.data.random_erasing import RandomErasing
from timm.utils.random import random_seed

from modernet.data.augment import (
    build_mixing,
    erasing_rectangles,
    normalize,
    random_crop,
    random_erasing,
    random_flip,
    rectangle_masks,
)


def random_images(n: int) -> torch.Tensor:
    """(N, 3, 8, 8) uint8 noise."""
    return torch.randint(256, (n, 3, 8, 8), dtype=torch.uint8)


def test_random_crop_shifts_by_at_most_the_padding():
    images = random_images(64)
    cropped = random_crop(images, 2)
    padded = torch.nn.functional.pad(images, [2] * 4)
    positions = set()
    for before, after in zip(padded, cropped, strict=True):
        matches = [(y, x) for y in range(5) for x in range(5) if torch.equal(before[:, y : y + 8, x : x + 8], after)]
        assert len(matches) == 1
        positions.add(matches[0])
    assert len(positions) > 15  # of 25
    assert random_crop(images, 0) is images


def test_random_flip_mirrors_half_of_the_images():
    images = random_images(1000)
    flipped = random_flip(images)
    is_mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    is_unchanged = (flipped == images).flatten(1).all(1)
    assert (is_mirrored ^ is_unchanged).all()
    assert 450 < is_mirrored.sum() < 550


def test_normalize_maps_the_mean_to_zero():
    data = data_config("cifar10")
    images = torch.tensor(data.mean)[None, :, None, None].mul(255).round().byte().repeat(1, 1, 4, 4)
    assert normalize(images, data).abs().max() < 0.01


def test_random_erasing_draws_rectangles_of_the_published_areas():
    torch.manual_seed(0)
    masks = rectangle_masks(erasing_rectangles(4000, 64, 64, 0.25), 64, 64)
    areas = masks.flatten(1).float().mean(1)
    is_erased = areas > 0
    assert 0.23 < is_erased.float().mean() < 0.27
    assert areas[is_erased].min() > 0.015
    assert areas[is_erased].max() < 0.345
    assert areas[is_erased].mean() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.02)
    for mask in masks[is_erased][:50, 0]:
        assert mask.sum() == mask.any(1).sum() * mask.any(0).sum()  # one rectangle


def timm_rectangle(erasing: RandomErasing) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what timm erases from an image of 64 x 64 pixels."""
    is_erased = erasing(torch.full((1, 64, 64), 9.0))[0] != 9
    rows, columns = (is_erased.any(axis).nonzero() for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def test_random_erasing_draws_the_rectangles_of_timm():
    random_seed(0)
    erasing = RandomErasing(1.0, mode="pixel", device="cpu")
    theirs = np.array([timm_rectangle(erasing) for _ in range(2000)])
    ours = erasing_rectangles(20_000, 64, 64, 1.0).numpy()
    deciles = np.arange(0.1, 1, 0.1)
    for values in ([0], [1], [1, 0], [2], [3], [3, 2]):  # positions, and the sides as differences of two
        a, b = (drawn[:, values[0]] - (drawn[:, values[1]] if values[1:] else 0) for drawn in (ours, theirs))
        assert np.abs(np.quantile(a, deciles) - np.quantile(b, deciles)).max() <= 3, values


def test_random_erasing_fills_with_noise_per_pixel():
    torch.manual_seed(0)
    images = torch.full((400, 3, 16, 16), 7.0)
    erased = random_erasing(images, 1.0)
    noise = erased[erased != 7.0]
    assert abs(noise.mean()) < 0.05
    assert noise.std() == pytest.approx(1.0, abs=0.05)
    assert noise.unique().numel() > 0.9 * noise.numel()
    assert random_erasing(images, 0.0) is images


def mixed_batches(n: int, **recipe: float) -> tuple[list[float], int]:
    """The weight of the second image in the first in `n` batches, and the number of batches that CutMix mixed."""
    images = torch.stack([torch.zeros(3, 32, 32), torch.ones(3, 32, 32)])
    mixing = build_mixing(recipe_config("modern", **recipe), 2)
    weights, num_cutmix = [], 0
    torch.manual_seed(0)
    for _ in range(n):
        mixed, labels = mixing(images, torch.tensor([0, 1]))
        assert labels.sum(1).tolist() == pytest.approx([1.0, 1.0])
        assert labels[0, 1].item() == pytest.approx(mixed[0].mean().item(), abs=1e-5)  # labels follow the pixels
        weights.append(labels[0, 1].item())
        num_cutmix += bool(((mixed[0] == 0) | (mixed[0] == 1)).all())
    return weights, num_cutmix


def test_mixup_and_cutmix_are_chosen_with_the_switch_probability():
    _, num_cutmix = mixed_batches(500)
    assert 0.43 < num_cutmix / 500 < 0.57


def test_mixup_draws_from_its_beta_distribution():
    weights, num_cutmix = mixed_batches(2000, cutmix_alpha=0.0)
    assert num_cutmix < 20
    assert np.mean(weights) == pytest.approx(0.5, abs=0.03)
    assert np.var(weights) == pytest.approx(1 / (4 * (2 * 0.8 + 1)), rel=0.1)  # of Beta(0.8, 0.8)


@pytest.mark.parametrize("alphas", [(0.8, 1.0), (0.8, 0.0), (0.0, 1.0)])
def test_weights_of_mixed_labels_are_distributed_as_timms(alphas):
    mixup_alpha, cutmix_alpha = alphas
    weights, _ = mixed_batches(2000, mixup_alpha=mixup_alpha, cutmix_alpha=cutmix_alpha)
    random_seed(0)
    mixing = Mixup(mixup_alpha, cutmix_alpha, label_smoothing=0.0, num_classes=2)
    labels = torch.tensor([0, 1])
    theirs = [mixing(torch.zeros(2, 3, 32, 32), labels)[1][0, 1].item() for _ in range(2000)]
    deciles = np.arange(0.1, 1, 0.1)
    assert np.abs(np.quantile(weights, deciles) - np.quantile(theirs, deciles)).max() < 0.06


def test_cutmix_alone_mixes_every_batch():
    assert mixed_batches(200, mixup_alpha=0.0)[1] == 200


def test_mixing_without_either_method_returns_its_input():
    images, labels = torch.zeros(2, 3, 8, 8), torch.tensor([0, 1])
    mixing = build_mixing(recipe_config("modern", mixup_alpha=0.0, cutmix_alpha=0.0), 2)
    assert mixing(images, labels) == (images, labels)
