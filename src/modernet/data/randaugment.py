"""RandAugment on uint8 images, on any device, with the operations of the authors' policy."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from modernet.config.schema import RecipeConfig
from modernet.data import image_ops as ops
from modernet.data.image_ops import Sampling
from modernet.data.on_device import channel_values, to_device_of


@dataclass(frozen=True)
class Operation:
    """An image operation on a batch: (images, levels (N,), sampling) -> images.

    Levels are in 0..1, or in -1..1 where the operation is signed.
    """

    apply: Callable[[Tensor, Tensor, Sampling], Tensor]
    signed: bool = False


# timm's policy `rand-m9-mstd0.5-inc1`, which the authors used: every operation grows with its level.
OPERATIONS: dict[str, Operation] = {
    "autocontrast": Operation(lambda x, level, _: F.autocontrast(x)),
    "equalize": Operation(lambda x, level, _: F.equalize(x)),
    "invert": Operation(lambda x, level, _: F.invert(x)),
    "rotate": Operation(lambda x, level, sampling: ops.rotate(x, 30 * level, sampling), signed=True),
    "posterize": Operation(lambda x, level, _: ops.posterize(x, 4 - 4 * level)),
    "solarize": Operation(lambda x, level, _: ops.solarize(x, 256 - 256 * level)),
    "solarize_add": Operation(lambda x, level, _: ops.solarize_add(x, 110 * level)),
    "color": Operation(lambda x, level, _: ops.adjust_color(x, 1 + 0.9 * level), signed=True),
    "contrast": Operation(lambda x, level, _: ops.adjust_contrast(x, 1 + 0.9 * level), signed=True),
    "brightness": Operation(lambda x, level, _: ops.adjust_brightness(x, 1 + 0.9 * level), signed=True),
    "sharpness": Operation(lambda x, level, _: ops.adjust_sharpness(x, 1 + 0.9 * level), signed=True),
    "shear_x": Operation(lambda x, level, sampling: ops.shear_x(x, 0.3 * level, sampling), signed=True),
    "shear_y": Operation(lambda x, level, sampling: ops.shear_y(x, 0.3 * level, sampling), signed=True),
    "translate_x": Operation(lambda x, level, sampling: ops.translate_x(x, 0.45 * level, sampling), signed=True),
    "translate_y": Operation(lambda x, level, sampling: ops.translate_y(x, 0.45 * level, sampling), signed=True),
}
NO_OPERATION = Operation(lambda x, level, _: x)
CHOICES = (*OPERATIONS.values(), NO_OPERATION)
IS_SIGNED = torch.tensor([operation.signed for operation in CHOICES])
NUM_OPERATIONS = 2  # drawn per image
APPLY_PROB = 0.5  # of each drawn operation (timm)


def rand_augment(
    images: Tensor, recipe: RecipeConfig, mean: tuple[float, ...], *, along_one_axis: bool = False
) -> Tensor:
    """RandAugment (Cubuk et al. 2020) of uint8 images (N, 3, H, W); each image draws its operations and levels.

    The level is the recipe's magnitude / 10, with normal noise. Areas from outside of an image are filled with `mean`,
    in [0, 1]. All draws are made on the CPU. `along_one_axis` is that of Sampling.
    """
    if recipe.randaugment == 0:
        return images
    sampling = Sampling(recipe.randaugment_interpolation, channel_values(mean, images.device), along_one_axis)
    for _ in range(NUM_OPERATIONS):
        n = len(images)
        is_applied = torch.rand(n) < APPLY_PROB
        chosen = torch.randint(len(OPERATIONS), (n,)).where(is_applied, len(OPERATIONS))
        levels = (recipe.randaugment + recipe.randaugment_std * torch.randn(n)).clamp(0, 10) / 10
        is_negative = (torch.rand(n) < 0.5) & IS_SIGNED[chosen]
        images = _apply(images, chosen, torch.where(is_negative, -levels, levels), sampling)
    return images


def _apply(images: Tensor, chosen: Tensor, levels: Tensor, sampling: Sampling) -> Tensor:
    """Apply to each image the operation CHOICES[chosen], grouped by operation; chosen and levels are on the CPU."""
    order = chosen.argsort(stable=True)
    sizes = chosen.bincount(minlength=len(CHOICES)).tolist()
    positions, sorted_levels = to_device_of(images, order), to_device_of(images, levels[order])
    sorted_images = images.index_select(0, positions)  # on the CPU, images[positions] copies number by number
    groups = zip(CHOICES, sorted_images.split(sizes), sorted_levels.split(sizes), strict=True)
    augmented = [operation.apply(group, level, sampling) for operation, group, level in groups if len(group)]
    return torch.cat(augmented).index_select(0, to_device_of(images, order.argsort()))
