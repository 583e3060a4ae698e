"""Transforms of image files: any image mode, the published crops, and draws that depend on the sample alone."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import data_config, recipe_config
from image_files import FORMATS, encode_image
from PIL import Image

from modernet.data.transforms import ImageTransform, decode_image


def transform(data: str, seed: int = 0, recipe: str = "modern") -> ImageTransform:
    return ImageTransform(data_config(data), recipe_config(recipe), seed)


@pytest.mark.parametrize("mode", FORMATS)
def test_decode_image_converts_every_mode_to_rgb(mode):
    image = decode_image(io.BytesIO(encode_image(9, mode)))
    assert image.mode == "RGB"
    assert np.asarray(image).mean() == pytest.approx(90, abs=3)


def test_eval_transform_resizes_and_crops_the_centre():
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3)))
    crop = transform("imagenet").eval_transform(ramp)  # 224 of 256
    assert crop.shape == (3, 224, 224)
    assert crop[0, 0].tolist() == list(range(16, 240))


def test_eval_transform_resizes_the_shorter_side():
    wide = Image.new("RGB", (1000, 500), (200, 100, 50))
    assert transform("imagenet").eval_transform(wide).flatten(1).float().mean(1).tolist() == [200, 100, 50]


@pytest.mark.parametrize(
    ("recipe", "interpolation"), [("classic", Image.Resampling.BILINEAR), ("modern", Image.Resampling.BICUBIC)]
)
def test_images_are_resized_with_the_interpolation_of_the_recipe(recipe, interpolation):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    image = Image.fromarray(noise)
    expected = torch.from_numpy(np.array(image.resize((256, 256), interpolation))).permute(2, 0, 1)[:, 16:240, 16:240]
    transforms = transform("imagenet", recipe=recipe)
    assert torch.equal(transforms.eval_transform(image), expected)
    torch.manual_seed(0)
    crop = transforms.train_transform(image, 0, 0).float()
    other = ImageTransform(transforms.data, replace(transforms.recipe, crop_interpolation="bilinear"), 0)
    assert torch.equal(crop, other.train_transform(image, 0, 0).float()) == (recipe == "classic")


def test_train_transform_is_a_function_of_seed_and_sample():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    transforms = transform("imagenette", seed=1)
    first = transforms.train_transform(image, 3, 7)
    assert first.shape == (3, 128, 128)
    torch.rand(5)
    assert torch.equal(first, transforms.train_transform(image, 3, 7))
    assert not torch.equal(first, transforms.train_transform(image, 4, 7))
    assert not torch.equal(first, transform("imagenette", seed=2).train_transform(image, 3, 7))
