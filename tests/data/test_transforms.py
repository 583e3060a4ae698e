"""Transforms of image files: the published crops, the pixels of Pillow, and draws that depend on the sample alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import data_config, recipe_config
from PIL import Image
from torchvision.transforms import v2

from modernet.data.transforms import NUM_CROP_DRAWS, Crop, ImageTransform, random_resized_crop, resize

INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def transform(data: str, seed: int = 0, recipe: str = "modern", **changes: Any) -> ImageTransform:
    return ImageTransform(data_config(data, **changes), recipe_config(recipe), seed)


def noise(height: int, width: int) -> torch.Tensor:
    """A random (H, W, 3) uint8 image."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def assert_equal_pixels(image: torch.Tensor, expected: np.ndarray) -> None:
    """But for rounding: at most 2 of 255, on average less than 0.1."""
    difference = np.abs(image.numpy().astype(int) - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.1
    assert (difference > 1).mean() < 0.001


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", [(128, 128), (31, 90), (300, 400)])
def test_resize_gives_the_pixels_of_pillow(interpolation, size):
    image = noise(163, 211)
    height, width = size
    expected = Image.fromarray(image.numpy()).resize((width, height), INTERPOLATIONS[interpolation])
    assert_equal_pixels(resize(image, height, width, interpolation), np.asarray(expected))


@pytest.mark.parametrize("size", [(256, 256), (500, 1000), (375, 333), (160, 213), (100, 90)])
@pytest.mark.parametrize("recipe", ["classic", "modern"])
def test_center_crop_is_torchvisions(size, recipe):
    """Resize to 146 and crop 128 at the centre, with the interpolation of the recipe."""
    image = noise(*size)
    transforms = transform("imagenette", recipe=recipe)
    mode = v2.InterpolationMode(transforms.recipe.crop_interpolation)
    reference = v2.Compose([v2.Resize(146, mode), v2.CenterCrop(128)])
    expected = np.asarray(reference(Image.fromarray(image.numpy())))
    assert_equal_pixels(transforms.center_crop(image), expected)


@pytest.mark.parametrize("size", [(2, 3000), (3000, 2)])
def test_center_crop_of_a_strip_resizes_its_middle_alone(size, monkeypatch):
    """All of it would have 146 x 219,000 pixels, for a crop of 128."""
    strip, sizes = noise(*size), []

    def record(image: torch.Tensor, height: int, width: int, interpolation: Any) -> torch.Tensor:
        sizes.append(height * width)
        return resize(image, height, width, interpolation)

    monkeypatch.setattr("modernet.data.transforms.resize", record)
    enough, few = (transform("imagenette", max_pixels=limit) for limit in (10**9, 10**6))
    difference = enough.center_crop(strip).float() - few.center_crop(strip).float()
    assert difference.abs().max() <= 1
    assert sizes == [146 * 219_000, 146 * 584]


def test_random_crop_has_the_pixels_of_pillow(monkeypatch):
    """For the crop that the sample draws."""
    drawn: list[Crop] = []

    def recorded(*arguments: Any) -> Crop:
        drawn.append(random_resized_crop(*arguments))
        return drawn[-1]

    monkeypatch.setattr("modernet.data.transforms.random_resized_crop", recorded)
    image, transforms = noise(120, 160), transform("imagenette")
    for sample in range(20):
        crop = transforms.random_crop(image, 0, sample)
        top, left, height, width, is_flipped = drawn[-1]
        part = Image.fromarray(image.numpy()).crop((left, top, left + width, top + height))
        expected = np.asarray(part.resize((128, 128), Image.Resampling.BICUBIC))
        assert_equal_pixels(crop, expected[:, ::-1] if is_flipped else expected)
    assert 4 <= sum(crop.is_flipped for crop in drawn) <= 16


@pytest.mark.parametrize("size", [(375, 500), (160, 160), (40, 200), (200, 40), (1, 50), (3, 2)])
def test_random_crops_are_distributed_as_torchvisions(size):
    """Deciles of area, aspect and position of 4,000 crops; torchvision draws the same number."""
    height, width = size
    torch.manual_seed(0)
    reference, image = v2.RandomResizedCrop(8), torch.zeros(3, height, width)
    expected = [reference.make_params([image]) for _ in range(4000)]
    ours = [random_resized_crop(height, width, draws) for draws in torch.rand(4000, NUM_CROP_DRAWS).tolist()]
    pairs = {
        "height": ([crop.height for crop in ours], height),
        "width": ([crop.width for crop in ours], width),
        "top": ([crop.top for crop in ours], height),
        "left": ([crop.left for crop in ours], width),
    }
    for name, (values, side) in pairs.items():
        deciles = np.arange(0.1, 1, 0.1)
        difference = np.quantile(values, deciles) - np.quantile([crop[name] for crop in expected], deciles)
        assert np.abs(difference).max() <= max(1, 0.04 * side), name
    for crop in ours:
        assert crop.top >= 0
        assert crop.left >= 0
        assert crop.top + crop.height <= height
        assert crop.left + crop.width <= width


def test_flip_is_off_where_the_data_set_says_so():
    transforms, image = transform("imagenette"), noise(50, 60)
    unflipped = replace(transforms, data=replace(transforms.data, flip=False))
    pairs = [(transforms.random_crop(image, 0, n), unflipped.random_crop(image, 0, n)) for n in range(20)]
    is_equal = [torch.equal(a, b) for a, b in pairs]
    is_mirrored = [torch.equal(a, b.flip(1)) for a, b in pairs]
    assert 4 <= sum(is_mirrored) <= 16
    assert sum(is_equal) + sum(is_mirrored) == 20


def test_random_crop_is_a_function_of_seed_and_sample():
    image, transforms = noise(90, 120), transform("imagenette", seed=1)
    first = transforms.random_crop(image, 3, 7)
    assert first.shape == (128, 128, 3)
    torch.rand(5)
    assert torch.equal(first, transforms.random_crop(image, 3, 7))
    assert not torch.equal(first, transforms.random_crop(image, 4, 7))
    assert not torch.equal(first, transforms.random_crop(image, 3, 8))
    assert not torch.equal(first, transform("imagenette", seed=2).random_crop(image, 3, 7))
