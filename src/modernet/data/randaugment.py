"""RandAugment on uint8 images, on any device, with the operations of the authors' policy."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F


def _affine(
    images: Tensor, fill: list[float], angle: float = 0, shift: tuple = (0, 0), shear: tuple = (0, 0)
) -> Tensor:
    """Rotate by degrees around the centre, shift by fractions of the side, shear by slopes from the top left corner."""
    height, width = images.shape[-2:]
    pixels = [round(shift[0] * width), round(shift[1] * height)]
    degrees = [math.degrees(math.atan(slope)) for slope in shear]
    center = [0.0, 0.0] if any(shear) else None
    bilinear = v2.InterpolationMode.BILINEAR
    return F.affine(images, angle, pixels, 1.0, degrees, interpolation=bilinear, fill=fill, center=center)


def _solarize_add(images: Tensor, amount: int) -> Tensor:
    return torch.where(images < 128, (images.int() + amount).clamp(max=255).byte(), images)


@dataclass(frozen=True)
class Operation:
    """An image operation: (images, level, fill) -> images, with a level in 0..1, or in -1..1 where it is signed."""

    apply: Callable[[Tensor, float, list[float]], Tensor]
    signed: bool = False


# timm's policy `rand-m9-mstd0.5-inc1`, which the authors used: every operation grows with its level.
OPERATIONS: dict[str, Operation] = {
    "autocontrast": Operation(lambda x, level, fill: F.autocontrast(x)),
    "equalize": Operation(lambda x, level, fill: F.equalize(x)),
    "invert": Operation(lambda x, level, fill: F.invert(x)),
    "rotate": Operation(lambda x, level, fill: _affine(x, fill, angle=30 * level), signed=True),
    "posterize": Operation(lambda x, level, fill: F.posterize(x, 4 - int(4 * level))),
    "solarize": Operation(lambda x, level, fill: F.solarize(x, min(255, 256 - int(256 * level)))),
    "solarize_add": Operation(lambda x, level, fill: _solarize_add(x, int(110 * level))),
    "color": Operation(lambda x, level, fill: F.adjust_saturation(x, 1 + 0.9 * level), signed=True),
    "contrast": Operation(lambda x, level, fill: F.adjust_contrast(x, 1 + 0.9 * level), signed=True),
    "brightness": Operation(lambda x, level, fill: F.adjust_brightness(x, 1 + 0.9 * level), signed=True),
    "sharpness": Operation(lambda x, level, fill: F.adjust_sharpness(x, 1 + 0.9 * level), signed=True),
    "shear_x": Operation(lambda x, level, fill: _affine(x, fill, shear=(0.3 * level, 0)), signed=True),
    "shear_y": Operation(lambda x, level, fill: _affine(x, fill, shear=(0, 0.3 * level)), signed=True),
    "translate_x": Operation(lambda x, level, fill: _affine(x, fill, shift=(0.45 * level, 0)), signed=True),
    "translate_y": Operation(lambda x, level, fill: _affine(x, fill, shift=(0, 0.45 * level)), signed=True),
}
NUM_OPERATIONS = 2  # drawn per image
APPLY_PROB = 0.5  # of each drawn operation (timm)


def rand_augment(images: Tensor, magnitude: float, std: float, mean: tuple[float, ...]) -> Tensor:
    """RandAugment (Cubuk et al. 2020) of uint8 images (N, 3, H, W); each image draws its operations independently.

    The level is `magnitude` / 10, with normal noise of `std` / 10 that is drawn once per batch and operation. Areas
    from outside the image are filled with `mean`, in [0, 1]. All draws are made on the CPU.
    """
    if magnitude == 0:
        return images
    images, fill = images.clone(), [255 * value for value in mean]
    for _ in range(NUM_OPERATIONS):
        is_applied = torch.rand(len(images)) < APPLY_PROB
        chosen = torch.randint(len(OPERATIONS), (len(images),)).where(is_applied, -1)
        is_negative = torch.rand(len(images)) < 0.5
        levels = (magnitude + std * torch.randn(len(OPERATIONS), 2)).clamp(0, 10) / 10
        for number, operation in enumerate(OPERATIONS.values()):
            signs = {1: ~is_negative, -1: is_negative} if operation.signed else {1: torch.ones_like(is_negative)}
            for sign, has_sign in signs.items():
                selected = ((chosen == number) & has_sign).nonzero()[:, 0]
                if len(selected):
                    indices = selected.to(images.device, non_blocking=True)
                    level = sign * float(levels[number, int(sign < 0)])
                    images[indices] = operation.apply(images[indices], level, fill)
    return images
