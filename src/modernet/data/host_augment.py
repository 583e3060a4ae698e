"""Augmentation of batches of image files on the CPU: that of `augment.py`, image by image in the cache and in place.

Operations, rectangles and mixing weights are those of every other device; only the noise in the rectangles is not.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from modernet.config.schema import DataConfig, RecipeConfig
from modernet.data.augment import Labels, erasing_rectangles, mixing_methods, normalize


def normalize_and_mix_(images: Tensor, labels: Tensor, data: DataConfig, recipe: RecipeConfig) -> tuple[Tensor, Labels]:
    """`augment.normalize_and_mix` for uint8 images (N, 3, H, W) on the CPU."""
    assert data.num_classes is not None, "build_loader reads it from the files"
    normalized = torch.empty(images.shape)
    for row, image in zip(normalized, images, strict=True):
        normalize(image, data, out=row)
    erase_(normalized, recipe.random_erasing_prob)
    return mix_(normalized, labels, recipe, data.num_classes)


def erase_(images: Tensor, probability: float) -> None:
    """`augment.random_erasing`, in place; draws noise only for the erased pixels.

    The noise has a generator, so that the next draws are those of a GPU, which draws its noise itself.
    """
    if probability == 0:
        return
    rectangles = erasing_rectangles(len(images), images.shape[2], images.shape[3], probability).tolist()
    noise = torch.Generator().manual_seed(torch.initial_seed() ^ 1)
    for image, (top, bottom, left, right) in zip(images, rectangles, strict=True):
        shape = 3, bottom - top, right - left
        if shape[1]:
            image[:, top:bottom, left:right] = torch.randn(shape, generator=noise)


def mix_(images: Tensor, labels: Tensor, recipe: RecipeConfig, num_classes: int) -> tuple[Tensor, Labels]:
    """`augment.build_mixing` applied to images and labels, with the same draws and the same result, in place."""
    methods, weights = mixing_methods(recipe, num_classes)
    if not methods:
        return images, labels
    method = methods[int(torch.multinomial(torch.tensor(weights), 1))]
    drawn = method.make_params([images])
    if "box" in drawn:
        left, top, right, bottom = drawn["box"]
        weight, region = drawn["lam_adjusted"], images[..., top:bottom, left:right]
        _replace_by_previous(region)
    else:
        weight = drawn["lam"]
        _blend_with_previous(images, weight)
    targets = one_hot(labels, num_classes).float()
    return images, targets.roll(1, 0).mul_(1 - weight).add_(targets.mul(weight))


def _replace_by_previous(images: Tensor) -> None:
    last = images[-1].clone()
    for number in range(len(images) - 1, 0, -1):
        images[number] = images[number - 1]
    images[0] = last


def _blend_with_previous(images: Tensor, weight: float) -> None:
    """images[n] -> weight * images[n] + (1 - weight) * images[n - 1]; the first follows the last."""
    last = images[-1].clone()
    for number in range(len(images) - 1, -1, -1):
        previous = images[number - 1] if number else last
        images[number].mul_(weight).add_(previous * (1 - weight))
