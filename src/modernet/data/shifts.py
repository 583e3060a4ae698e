"""Shifts of the rows of images by parts of a pixel, for the CPU: an interpolation along one axis only.

The samples are those of torch's grid_sample, which interpolates along both axes and takes five times as long.
"""

import torch
from torch import Tensor

CUBIC = -0.75  # parameter of grid_sample's cubic kernel (Keys 1981)


def linear_weights(fractions: Tensor) -> Tensor:
    """Weights (2, *) of the pixels before and after a position that is a fraction of a pixel past the first."""
    return torch.stack([1 - fractions, fractions])


def cubic_weights(fractions: Tensor) -> Tensor:
    """Weights (4, *) of the two pixels before and the two after."""
    inner, outer = torch.stack([fractions, 1 - fractions]), torch.stack([1 + fractions, 2 - fractions])
    near = ((CUBIC + 2) * inner - (CUBIC + 3)) * inner * inner + 1
    far = ((outer - 5) * outer + 8) * outer * CUBIC - 4 * CUBIC
    return torch.stack([far[0], near[0], near[1], far[1]])


WEIGHTS = {"bilinear": linear_weights, "bicubic": cubic_weights}


def shift_rows(image: Tensor, shifts: Tensor, interpolation: str) -> Tensor:
    """Sample each row y of a uint8 image (3, H, W) at x + shifts[y], shifts (H,) in pixels -> float32 (3, H, W).

    Positions outside of the image have the value of its border.
    """
    height, width = image.shape[1:]
    whole = shifts.floor()
    weights = WEIGHTS[interpolation](shifts - whole)[..., None]  # (taps, H, 1)
    taps = len(weights)
    first = whole.long() + 1 - taps // 2  # of the pixels that the left end of a row needs
    before = int((-first).clamp(min=0).max())
    after = int((first + taps - 1).clamp(min=0).max())
    left, right = image[..., :1].expand(-1, -1, before), image[..., -1:].expand(-1, -1, after)
    padded = torch.cat([left, image, right], -1).float()
    windows = padded.unfold(-1, width + taps - 1, 1)  # (3, H, positions, W + taps - 1), a view
    aligned = windows[:, torch.arange(height), first + before]
    shifted = aligned[..., :width] * weights[0]
    for tap in range(1, taps):
        shifted.addcmul_(aligned[..., tap : tap + width], weights[tap])
    return shifted
