"""Augmentation on the CPU does what augmentation on a device does."""

import pytest
import torch
from helpers import data_config, recipe_config

from modernet.data.augment import build_mixing, erasing_rectangles, normalize, normalize_and_mix, random_erasing
from modernet.data.host_augment import erase_, mix_, normalize_and_mix_

DATA = data_config("imagenette")
LABELS = torch.arange(12) % 10
MIXING = {
    "mixup": {"cutmix_alpha": 0.0},
    "cutmix": {"mixup_alpha": 0.0},
    "both": {},
    "neither": {"mixup_alpha": 0.0, "cutmix_alpha": 0.0},
}


def images(n: int = 12, size: int = 20) -> torch.Tensor:
    """(N, 3, size, size) uint8 noise."""
    return torch.randint(256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("changes", MIXING.values(), ids=MIXING)
def test_mixing_in_place_equals_torchvisions(changes):
    """Bit for bit, with the same draws."""
    recipe, pixels = recipe_config("modern", **changes), normalize(images(), DATA)
    for seed in range(20):
        torch.manual_seed(seed)
        expected = build_mixing(recipe, 10)(pixels, LABELS)
        torch.manual_seed(seed)
        mixed = mix_(pixels.clone(), LABELS, recipe, 10)
        assert torch.equal(mixed[0], expected[0])
        assert torch.equal(mixed[1], expected[1])


def test_everything_but_the_noise_equals_augmentation_on_a_device():
    recipe = recipe_config("modern", random_erasing_prob=0.0)
    for seed in range(5):
        torch.manual_seed(seed)
        expected = normalize_and_mix(images(), LABELS, DATA, recipe)
        torch.manual_seed(seed)
        augmented = normalize_and_mix_(images(), LABELS, DATA, recipe)
        assert torch.equal(augmented[0], expected[0])
        assert torch.equal(augmented[1], expected[1])


def test_erased_rectangles_are_those_of_a_device():
    pixels = torch.full((400, 3, 32, 32), 7.0)
    torch.manual_seed(0)
    expected = random_erasing(pixels, 0.25)
    torch.manual_seed(0)
    erased = pixels.clone()
    erase_(erased, 0.25)
    assert torch.equal(erased != 7.0, expected != 7.0)
    noise = erased[erased != 7.0]
    assert abs(noise.mean()) < 0.05
    assert noise.std() == pytest.approx(1.0, abs=0.05)
    assert noise.unique().numel() > 0.9 * noise.numel()


def test_erasing_with_probability_zero_draws_nothing():
    pixels = torch.zeros(4, 3, 8, 8)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    erase_(pixels, 0.0)
    assert torch.equal(torch.rand(3), expected)
    assert not pixels.any()


def test_noise_does_not_change_the_next_draws():
    """They decide the mixing, which is the same on all devices."""
    torch.manual_seed(0)
    erasing_rectangles(12, 20, 20, 1.0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    erase_(torch.zeros(12, 3, 20, 20), 1.0)
    assert torch.equal(torch.rand(3), expected)
