"""RandAugment is that of the authors' policy: timm's operations, each of them compared with timm's."""

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import auto_augment

from modernet.data.randaugment import OPERATIONS, rand_augment

FILL = (124, 116, 104)
LEVEL = 9.0  # of 10
# Our operations -> their names in timm's policy `rand-m9-mstd0.5-inc1`, which the authors used.
TIMM_NAMES = {
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
    "invert": "Invert",
    "rotate": "Rotate",
    "posterize": "PosterizeIncreasing",
    "solarize": "SolarizeIncreasing",
    "solarize_add": "SolarizeAdd",
    "color": "ColorIncreasing",
    "contrast": "ContrastIncreasing",
    "brightness": "BrightnessIncreasing",
    "sharpness": "SharpnessIncreasing",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateXRel",
    "translate_y": "TranslateYRel",
}


def smooth_image() -> torch.Tensor:
    """A smooth random (1, 3, 32, 32) uint8 image."""
    noise = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    return (torch.nn.functional.interpolate(noise, size=32, mode="bicubic") * 255).clamp(0, 255).byte()


def test_operations_are_those_of_the_authors_policy():
    assert list(OPERATIONS) == list(TIMM_NAMES)
    assert list(TIMM_NAMES.values()) == auto_augment._RAND_INCREASING_TRANSFORMS


@pytest.mark.parametrize("name", TIMM_NAMES)
def test_operation_equals_timms(name):
    image, fill, operation = smooth_image(), list(map(float, FILL)), OPERATIONS[name]
    level_to_argument = auto_augment.LEVEL_TO_ARG[TIMM_NAMES[name]]
    arguments = level_to_argument(LEVEL, {"translate_pct": 0.45}) if level_to_argument else ()
    pil_image = Image.fromarray(image[0].permute(1, 2, 0).numpy())
    timm_image = auto_augment.NAME_TO_OP[TIMM_NAMES[name]](
        pil_image, *arguments, resample=Image.Resampling.BILINEAR, fillcolor=FILL
    )
    expected = np.asarray(timm_image).astype(int)

    def difference(level: float) -> float:
        ours = operation.apply(image, level, fill)[0].permute(1, 2, 0).numpy().astype(int)
        return float(np.abs(ours - expected).mean())

    # timm draws the sign of signed operations. The tolerance, of 255, covers rounding and, for geometric operations,
    # interpolation.
    levels = [LEVEL / 10, -LEVEL / 10] if operation.signed else [LEVEL / 10]
    tolerance = 5 if name.startswith(("rotate", "shear", "translate")) else 1
    assert min(map(difference, levels)) < tolerance


def test_rand_augment_applies_each_drawn_operation_with_probability_half():
    """With two operations per image, a quarter of the images stays unchanged."""
    original = smooth_image()
    images = original.repeat(1000, 1, 1, 1)
    torch.manual_seed(0)
    augmented = rand_augment(images, 9.0, 0.5, (0.5, 0.5, 0.5))
    unchanged = (augmented == images).flatten(1).all(1).float().mean()
    assert 0.21 < unchanged < 0.31
    assert augmented.unique(dim=0).shape[0] > 100
    assert torch.equal(images, original.repeat(1000, 1, 1, 1))  # the input is not modified


def test_rand_augment_of_magnitude_zero_returns_its_input():
    images = smooth_image()
    assert rand_augment(images, 0.0, 0.5, (0.5, 0.5, 0.5)) is images
