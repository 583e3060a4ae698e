"""Transforms of single images from files: random resized crop and flip for training, centre crop for evaluation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.runtime.seeding import Purpose, derive_seed

CROP_SCALE = (0.08, 1.0)  # area of the random crop / area of the image
CROP_ASPECT = (3 / 4, 4 / 3)  # width / height
CROP_ATTEMPTS = 10  # at drawing a crop that fits into the image


class Crop(NamedTuple):
    """A rectangle of an image, in pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    is_flipped: bool = False


def random_resized_crop(height: int, width: int, draws: Sequence[float]) -> Crop:
    """The crop of an image by torchvision's RandomResizedCrop and RandomHorizontalFlip, for NUM_CROP_DRAWS in [0, 1).

    Where no attempt fits, the crop is the largest one at the centre whose aspect is allowed.
    """
    areas, aspects = draws[:CROP_ATTEMPTS], draws[CROP_ATTEMPTS : 2 * CROP_ATTEMPTS]
    y, x, flip = draws[2 * CROP_ATTEMPTS :]
    smallest, largest = map(math.log, CROP_ASPECT)
    for area_draw, aspect_draw in zip(areas, aspects, strict=True):
        area = height * width * (CROP_SCALE[0] + (CROP_SCALE[1] - CROP_SCALE[0]) * area_draw)
        aspect = math.exp(smallest + (largest - smallest) * aspect_draw)
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return Crop(int(y * (height - h + 1)), int(x * (width - w + 1)), h, w, flip < 0.5)
    h, w = min(height, round(width / CROP_ASPECT[0])), min(width, round(height * CROP_ASPECT[1]))
    return Crop((height - h) // 2, (width - w) // 2, h, w, flip < 0.5)


NUM_CROP_DRAWS = 2 * CROP_ATTEMPTS + 3


def resize(image: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    """Resize uint8 (H, W, 3), antialiased as by Pillow. A value differs from Pillow's by at most 1, rarely by 2."""
    batch = image[None].permute(0, 3, 1, 2)  # (1, 3, H, W) in channels_last, for which torch has a fast kernel
    return interpolate(batch, (height, width), mode=interpolation, antialias=True)[0].permute(1, 2, 0)


@dataclass(frozen=True)
class ImageTransform:
    """From an RGB image of any size, uint8 (H, W, 3), to (size, size, 3).

    The size is train_image_size for random crops, data.image_size for evaluated ones.
    """

    data: DataConfig
    recipe: RecipeConfig
    seed: int

    @property
    def train_image_size(self) -> int:
        """Pixels of a random crop."""
        return self.recipe.train_image_size or self.data.image_size

    def random_crop(self, image: Tensor, *sample: int) -> Tensor:
        """A random resized crop, or its mirror image. `sample`, with the epoch first, and the seed determine it."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, Purpose.SAMPLE, *sample))
        draws = torch.rand(NUM_CROP_DRAWS, generator=generator, dtype=torch.float64).tolist()
        top, left, height, width, is_flipped = random_resized_crop(image.shape[0], image.shape[1], draws)
        crop = image[top : top + height, left : left + width]
        size = self.train_image_size
        resized = resize(crop, size, size, self.recipe.crop_interpolation)
        return resized.flip(1) if is_flipped and self.data.flip else resized

    def center_crop(self, image: Tensor) -> Tensor:
        """Resize the shorter side to image_size / crop_pct and crop the centre, as torchvision does."""
        size = self.data.image_size
        shorter = round(size / (self.recipe.crop_pct or self.data.crop_pct))
        height, width = _resized_sides(image, shorter)
        if height * width > self.data.max_pixels:  # a thin strip, of which the crop has a small part
            image = _middle(image, 4 * min(image.shape[:2]))
            height, width = _resized_sides(image, shorter)
        resized = resize(image, height, width, self.recipe.crop_interpolation)
        top, left = (round((side - size) / 2) for side in (height, width))
        return resized[top : top + size, left : left + size]


def _resized_sides(image: Tensor, shorter: int) -> list[int]:
    """Height and width of an image (H, W, 3) whose shorter side is resized."""
    sides = image.shape[:2]
    return [int(shorter * side / min(sides)) for side in sides]


def _middle(image: Tensor, longest: int) -> Tensor:
    """The centre of an image (H, W, 3), with sides of at most `longest` pixels."""
    for axis, side in enumerate(image.shape[:2]):
        image = image.narrow(axis, (side - min(side, longest)) // 2, min(side, longest))
    return image
