"""Augmentation of whole batches, on the device that holds them.

All random numbers come from torch's global generator. They are drawn on the CPU, so every device crops and mixes the
same way, and copied to the device asynchronously.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torchvision.transforms import v2

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data.on_device import channel_values, to_device_of

Labels = Tensor  # (N,) int64, or (N, num_classes) float32 where images are mixed


def random_crop(images: Tensor, padding: int) -> Tensor:
    """Pad images (N, C, H, W) with zeros on every side and crop each to H x W at a random position."""
    if padding == 0:
        return images
    n, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, [padding] * 4)
    top, left = to_device_of(images, torch.randint(2 * padding + 1, (2, n)))
    crops = padded.unfold(2, height, 1).unfold(3, width, 1)  # (N, C, top, left, H, W): all possible crops, as a view
    return crops[torch.arange(n, device=images.device), :, top, left]


def random_flip(images: Tensor) -> Tensor:
    """Mirror each image of (N, C, H, W) horizontally with probability 1/2."""
    is_flipped = to_device_of(images, torch.rand(len(images)) < 0.5)
    return torch.where(is_flipped[:, None, None, None], images.flip(-1), images)


def normalize(images: Tensor, data: DataConfig, out: Tensor | None = None) -> Tensor:
    """uint8 images (*, 3, H, W) -> float32 with mean 0 and standard deviation 1 per channel of the data set."""
    mean, std = (channel_values(values, images.device) for values in (data.mean, data.std))
    return torch.sub(images, mean, out=out).div_(std)


ERASED_AREA = (0.02, 1 / 3)  # fraction of the image
ERASED_ASPECT = (0.3, 1 / 0.3)
ERASING_ATTEMPTS = 10  # at drawing a rectangle that fits into the image


def erasing_rectangles(n: int, height: int, width: int, probability: float) -> Tensor:
    """Rectangles of Random Erasing (Zhong et al. 2020): top, bottom, left and right as (N, 4) int64 on the CPU.

    Bottom and right are the first pixels outside. Images that keep all pixels have an empty rectangle.
    """
    area = height * width * torch.empty(n, ERASING_ATTEMPTS).uniform_(*ERASED_AREA)
    aspect = torch.empty(n, ERASING_ATTEMPTS).uniform_(*map(math.log, ERASED_ASPECT)).exp()
    h, w = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (h < height) & (w < width)
    first = fits.int().argmax(1, keepdim=True)  # the first attempt that fits
    h, w = h.gather(1, first), w.gather(1, first)  # (N, 1)
    top, left = ((size - side + 1) * torch.rand(n, 1) for size, side in ((height, h), (width, w)))
    top, left = top.floor(), left.floor()
    is_erased = (torch.rand(n, 1) < probability) & fits.any(1, keepdim=True)
    return torch.cat([top, top + h * is_erased, left, left + w], 1).long()


def rectangle_masks(rectangles: Tensor, height: int, width: int) -> Tensor:
    """Booleans (N, 1, H, W) on the device of the rectangles (N, 4), true inside of them."""
    top, bottom, left, right = rectangles[:, :, None].unbind(1)  # (N, 1) each
    y, x = (torch.arange(size, device=rectangles.device) for size in (height, width))
    rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)  # (N, H), (N, W)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def random_erasing(images: Tensor, probability: float) -> Tensor:
    """Replace a random rectangle in some of the normalized images (N, 3, H, W) with normal noise per pixel."""
    if probability == 0:
        return images
    n, _, height, width = images.shape
    rectangles = to_device_of(images, erasing_rectangles(n, height, width, probability))
    return torch.where(rectangle_masks(rectangles, height, width), torch.randn_like(images), images)


@cache  # their constructors take milliseconds
def mixing_methods(recipe: RecipeConfig, num_classes: int) -> tuple[Sequence[v2.MixUp | v2.CutMix], Sequence[float]]:
    """Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019) as the recipe sets them, and their probabilities.

    Both are empty where the recipe has neither.
    """
    if not (recipe.mixup_alpha or recipe.cutmix_alpha):
        return (), ()
    both = recipe.mixup_alpha and recipe.cutmix_alpha
    cutmix_prob = recipe.mixup_switch_prob if both else float(recipe.cutmix_alpha > 0)
    mixup = v2.MixUp(alpha=recipe.mixup_alpha or 1.0, num_classes=num_classes)
    cutmix = v2.CutMix(alpha=recipe.cutmix_alpha or 1.0, num_classes=num_classes)
    return (mixup, cutmix), (1 - cutmix_prob, cutmix_prob)


@cache
def build_mixing(recipe: RecipeConfig, num_classes: int) -> Callable[..., tuple[Tensor, Labels]]:
    """A function that maps images (N, C, H, W) and labels (N,) to mixed images and labels (N, num_classes).

    Without a method in the recipe it returns its arguments.
    """
    methods, weights = mixing_methods(recipe, num_classes)
    return v2.RandomChoice([*methods], [*weights]) if methods else lambda images, labels: (images, labels)


def normalize_and_mix(images: Tensor, labels: Tensor, data: DataConfig, recipe: RecipeConfig) -> tuple[Tensor, Labels]:
    """Cropped uint8 images (N, 3, H, W) -> what the network is trained on: normalized, erased and mixed."""
    assert data.num_classes is not None, "build_loader reads it from the files"
    images = random_erasing(normalize(images, data), recipe.random_erasing_prob)
    return build_mixing(recipe, data.num_classes)(images, labels)
