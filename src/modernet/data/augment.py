"""What is done to a batch of training images, on whatever device it lies. All draws come from the global generator.

Draws are made on the CPU, so that every device sees the same cuts; they reach it without waiting for it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from modernet.config.schema import DataConfig, RecipeConfig

Labels = Tensor  # (N,) int64, or (N, classes) float32 where images are mixed


def _to(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images.device, non_blocking=True)


def random_crop(images: Tensor, padding: int) -> Tensor:
    """Pad (N, C, H, W) with zeros and cut every image back to H x W at a place of its own."""
    if padding == 0:
        return images
    n, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, [padding] * 4)
    top, left = _to(torch.randint(2 * padding + 1, (2, n)), images)
    cuts = padded.unfold(2, height, 1).unfold(3, width, 1)  # (N, C, top, left, H, W): every cut there is, as a view
    return cuts[torch.arange(n, device=images.device), :, top, left]


def random_flip(images: Tensor) -> Tensor:
    """Mirror every image of (N, C, H, W) with probability 1/2."""
    flipped = _to(torch.rand(len(images)) < 0.5, images)
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)


def _affine(images: Tensor, fill: list[float], angle: float = 0, move: tuple = (0, 0), shear: tuple = (0, 0)) -> Tensor:
    """Rotate by degrees around the middle, move by a part of the side, shear by a slope from the upper left corner."""
    height, width = images.shape[-2:]
    pixels = [round(move[0] * width), round(move[1] * height)]
    degrees = [math.degrees(math.atan(slope)) for slope in shear]
    corner = [0.0, 0.0] if any(shear) else None
    bilinear = v2.InterpolationMode.BILINEAR
    return F.affine(images, angle, pixels, 1.0, degrees, interpolation=bilinear, fill=fill, center=corner)


@dataclass(frozen=True)
class Op:
    """An operation of RandAugment: (images, level, fill) -> images, of a level 0..1, or -1..1 where it is signed."""

    apply: Callable[[Tensor, float, list[float]], Tensor]
    signed: bool = False


# The authors' choice: timm's `rand-m9-mstd0.5-inc1`, in which every operation grows with its level.
OPS: dict[str, Op] = {
    "autocontrast": Op(lambda x, level, fill: F.autocontrast(x)),
    "equalize": Op(lambda x, level, fill: F.equalize(x)),
    "invert": Op(lambda x, level, fill: F.invert(x)),
    "rotate": Op(lambda x, level, fill: _affine(x, fill, angle=30 * level), signed=True),
    "posterize": Op(lambda x, level, fill: F.posterize(x, 4 - int(4 * level))),
    "solarize": Op(lambda x, level, fill: F.solarize(x, min(255, 256 - int(256 * level)))),
    "solarize_add": Op(
        lambda x, level, fill: torch.where(x < 128, (x.int() + int(110 * level)).clamp(max=255).byte(), x)
    ),
    "color": Op(lambda x, level, fill: F.adjust_saturation(x, 1 + 0.9 * level), signed=True),
    "contrast": Op(lambda x, level, fill: F.adjust_contrast(x, 1 + 0.9 * level), signed=True),
    "brightness": Op(lambda x, level, fill: F.adjust_brightness(x, 1 + 0.9 * level), signed=True),
    "sharpness": Op(lambda x, level, fill: F.adjust_sharpness(x, 1 + 0.9 * level), signed=True),
    "shear_x": Op(lambda x, level, fill: _affine(x, fill, shear=(0.3 * level, 0)), signed=True),
    "shear_y": Op(lambda x, level, fill: _affine(x, fill, shear=(0, 0.3 * level)), signed=True),
    "translate_x": Op(lambda x, level, fill: _affine(x, fill, move=(0.45 * level, 0)), signed=True),
    "translate_y": Op(lambda x, level, fill: _affine(x, fill, move=(0, 0.45 * level)), signed=True),
}
ROUNDS = 2  # operations drawn for an image
APPLIED = 0.5  # how often one that was drawn is applied (timm)


def rand_augment(images: Tensor, magnitude: float, std: float, mean: tuple[float, ...]) -> Tensor:
    """RandAugment (Cubuk et al. 2020) of (N, 3, H, W) uint8 images, each with operations of its own.

    The level is `magnitude` of 10, with a normal noise of `std` from one batch and operation to the next. What is moved
    into an image is filled with the data set's mean.
    """
    if magnitude == 0:
        return images
    images, fill = images.clone(), [255 * value for value in mean]
    for _ in range(ROUNDS):
        applied = torch.rand(len(images)) < APPLIED
        chosen = torch.randint(len(OPS), (len(images),)).where(applied, -1)
        negative = torch.rand(len(images)) < 0.5
        levels = (magnitude + std * torch.randn(len(OPS), 2)).clamp(0, 10) / 10
        for number, op in enumerate(OPS.values()):
            for sign, those in ((1, ~negative), (-1, negative)) if op.signed else ((1, torch.ones_like(negative)),):
                members = ((chosen == number) & those).nonzero()[:, 0]
                if len(members):
                    index = _to(members, images)
                    images[index] = op.apply(images[index], sign * float(levels[number, int(sign < 0)]), fill)
    return images


def normalize(images: Tensor, data: DataConfig) -> Tensor:
    """uint8 -> float32 with mean 0 and std 1 per channel; (N, 3, H, W)."""
    mean, std = (_to(255 * torch.tensor(values), images)[:, None, None] for values in (data.mean, data.std))
    return (images - mean) / std


AREA = (0.02, 1 / 3)  # of the image that is erased
ASPECT = (0.3, 1 / 0.3)
TRIES = 10  # at a rectangle that fits


def erased(n: int, height: int, width: int, probability: float) -> Tensor:
    """Random erasing's rectangles (Zhong et al. 2020): (N, 1, H, W) booleans, true where an image loses its pixels."""
    area = height * width * torch.empty(n, TRIES).uniform_(*AREA)
    aspect = torch.empty(n, TRIES).uniform_(*map(math.log, ASPECT)).exp()
    h, w = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (h < height) & (w < width)
    first = fits.int().argmax(1, keepdim=True)  # of the tries
    h, w = h.gather(1, first), w.gather(1, first)
    top, left = ((size - part + 1) * torch.rand(n, 1) for size, part in ((height, h), (width, w)))
    top, left = top.floor(), left.floor()
    y, x = torch.arange(height), torch.arange(width)
    rows, columns = (y >= top) & (y < top + h), (x >= left) & (x < left + w)  # (N, H), (N, W)
    hit = (torch.rand(n, 1) < probability) & fits.any(1, keepdim=True)
    return ((rows & hit)[:, :, None] & columns[:, None, :])[:, None]


def random_erasing(images: Tensor, probability: float) -> Tensor:
    """Fill a rectangle in some of the normalised (N, 3, H, W) images with normal noise, each pixel its own."""
    if probability == 0:
        return images
    n, _, height, width = images.shape
    mask = erased(n, height, width, probability)
    return torch.where(_to(mask, images), torch.randn_like(images), images)


def mix(recipe: RecipeConfig, classes: int) -> Callable[..., tuple[Tensor, Labels]]:
    """Mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019) of a batch with itself, as the recipe has them."""
    switch = recipe.mixup_switch_prob if recipe.mixup_alpha and recipe.cutmix_alpha else float(recipe.cutmix_alpha > 0)
    if not (recipe.mixup_alpha or recipe.cutmix_alpha):
        return lambda images, labels: (images, labels)
    ways = [
        v2.MixUp(alpha=recipe.mixup_alpha or 1.0, num_classes=classes),
        v2.CutMix(alpha=recipe.cutmix_alpha or 1.0, num_classes=classes),
    ]
    return v2.RandomChoice(ways, p=[1 - switch, switch])


def finish(images: Tensor, labels: Tensor, data: DataConfig, recipe: RecipeConfig) -> tuple[Tensor, Labels]:
    """The last part, for images from memory and from files alike: uint8 as they were cut -> what the network sees."""
    images = random_erasing(normalize(images, data), recipe.random_erasing_prob)
    mixed, targets = mix(recipe, data.num_classes)(images, labels)
    return mixed, targets
