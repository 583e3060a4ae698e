"""Operations on uint8 images (N, 3, H, W), each image with its own level (N,), on any device.

They follow Pillow, which timm's RandAugment uses. The levels are tensors on the device of the images, because numbers
would have to be copied there one by one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from modernet.data.shifts import shift_rows

SLACK = 1e-3  # pixel values; Pillow drops the fraction of a value, which may be a whole number but for rounding


@dataclass(frozen=True)
class Sampling:
    """How geometric operations compute pixels: by interpolation, and `fill` (3, 1, 1) outside of the image.

    With `along_one_axis`, operations that move pixels along one axis interpolate along it only, image by image: on the
    CPU this is faster, and differs by rounding.
    """

    interpolation: str  # bilinear, bicubic
    fill: Tensor
    along_one_axis: bool = False


def _warp(images: Tensor, x: Tensor, y: Tensor, sampling: Sampling) -> Tensor:
    """Sample each image at the positions x and y, in pixels from the top left corner, which broadcast to (N, H, W)."""
    height, width = images.shape[-2:]
    is_inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = torch.broadcast_tensors(x, y)
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], -1)  # (N, H, W, 2)
    sampled = grid_sample(images.float(), grid, mode=sampling.interpolation, padding_mode="border", align_corners=False)
    return _to_pixels(sampled, is_inside[:, None], sampling)


def _to_bytes(pixels: Tensor) -> Tensor:
    """Floats as uint8 without their fractions, clamped in place; by way of int16, a fourth of the time on a CPU."""
    return pixels.clamp_(0, 255).short().byte()


def _to_pixels(sampled: Tensor, is_inside: Tensor, sampling: Sampling) -> Tensor:
    """Sampled values as uint8, with the fill outside."""
    mask = is_inside.byte().neg_()  # 255 inside; torch.where takes several times as long
    fill = sampling.fill.round().byte()
    return _to_bytes(sampled.add_(SLACK)).bitwise_and_(mask).bitwise_or_(fill & ~mask)


def _shift_rows(images: Tensor, shifts: Tensor, sampling: Sampling) -> Tensor:
    """Sample the rows at x + shifts, (N, H) or (N, 1) in pixels."""
    x, y = _pixel_centers(images)
    x = x + shifts[:, :, None]  # (N, H, W) or (N, 1, W)
    if not sampling.along_one_axis:
        return _warp(images, x, y, sampling)
    is_inside = (x >= 0) & (x < images.shape[-1])
    shifts = shifts.expand(-1, images.shape[-2])
    rows = [shift_rows(image, shift, sampling.interpolation) for image, shift in zip(images, shifts, strict=True)]
    return torch.stack([_to_pixels(row, mask, sampling) for row, mask in zip(rows, is_inside, strict=True)])


def _shift_columns(images: Tensor, shifts: Tensor, sampling: Sampling) -> Tensor:
    """Sample the columns at y + shifts, (N, W) or (N, 1) in pixels."""
    if sampling.along_one_axis:
        return _shift_rows(images.mT.contiguous(), shifts, sampling).mT
    x, y = _pixel_centers(images)
    return _warp(images, x, y + shifts[:, None, :], sampling)


def _pixel_centers(images: Tensor) -> tuple[Tensor, Tensor]:
    """x (1, 1, W) and y (1, H, 1)."""
    height, width = images.shape[-2:]
    y, x = (torch.arange(size, device=images.device) + 0.5 for size in (height, width))
    return x[None, None, :], y[None, :, None]


def rotate(images: Tensor, degrees: Tensor, sampling: Sampling) -> Tensor:
    """Rotate around the centre, counterclockwise."""
    height, width = images.shape[-2:]
    x, y = _pixel_centers(images)
    x, y = x - width / 2, y - height / 2
    radians = torch.deg2rad(degrees)[:, None, None]
    cos, sin = radians.cos(), radians.sin()
    return _warp(images, cos * x - sin * y + width / 2, sin * x + cos * y + height / 2, sampling)


def shear_x(images: Tensor, slopes: Tensor, sampling: Sampling) -> Tensor:
    """Shift each row by its distance from the top, times the slope."""
    _, y = _pixel_centers(images)
    return _shift_rows(images, slopes[:, None] * y[..., 0], sampling)


def shear_y(images: Tensor, slopes: Tensor, sampling: Sampling) -> Tensor:
    """Shift each column by its distance from the left, times the slope."""
    x, _ = _pixel_centers(images)
    return _shift_columns(images, slopes[:, None] * x[:, 0], sampling)


def translate_x(images: Tensor, fractions: Tensor, sampling: Sampling) -> Tensor:
    """Shift by a fraction of the width; the shift need not be a whole number of pixels."""
    return _shift_rows(images, fractions[:, None] * images.shape[-1], sampling)


def translate_y(images: Tensor, fractions: Tensor, sampling: Sampling) -> Tensor:
    """Shift by a fraction of the height."""
    return _shift_columns(images, fractions[:, None] * images.shape[-2], sampling)


def _per_image(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _grey(images: Tensor) -> Tensor:
    """(N, 1, H, W) float32 luma of whole numbers (ITU-R 601)."""
    red, green, blue = images.float().split(1, 1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).round()


def _blend(images: Tensor, other: Tensor, factors: Tensor) -> Tensor:
    """`other` at factor 0, the images at factor 1, beyond them at larger factors."""
    return _to_bytes((images - other).mul_(_per_image(factors)).add_(other))


def adjust_color(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with the grey image."""
    return _blend(images, _grey(images), factors)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with the mean grey of each image."""
    mean = _grey(images).mean((1, 2, 3), keepdim=True)
    return _blend(images, (mean + 0.5).floor(), factors)


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with black."""
    return _to_bytes(images * _per_image(factors))


def adjust_sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with the image smoothed by the kernel ((1, 1, 1), (1, 5, 1), (1, 1, 1)) / 13, except at its border."""
    pixels = images.float()
    rows = pixels[..., :-2, :] + pixels[..., 1:-1, :] + pixels[..., 2:, :]
    neighbours = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]  # (N, 3, H - 2, W - 2) sums over 3 x 3 pixels
    inner = pixels[..., 1:-1, 1:-1]
    inner.copy_(((neighbours + 4 * inner) / 13).round())
    return _blend(images, pixels, factors)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest bits of each pixel; the number of bits is rounded up."""
    dropped = 8 - _per_image(bits).ceil().int()
    return images & (-(1 << dropped)).byte()


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Invert the pixels at or above the threshold, which is rounded up."""
    is_inverted = images >= _per_image(thresholds).ceil()
    return images ^ is_inverted.byte().neg_()  # 255 inverts every bit; torch.where takes three times as long


def solarize_add(images: Tensor, amounts: Tensor) -> Tensor:
    """Add the amount, rounded down and at most 128, to the pixels below 128."""
    return images + (images < 128).byte().mul_(_per_image(amounts).byte())
