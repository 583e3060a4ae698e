"""RandAugment is that of the authors' policy: timm's operations, each of them compared with timm's."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from helpers import recipe_config
from PIL import Image
from timm.data import auto_augment
from timm.utils.random import random_seed

from modernet.data.image_ops import Sampling
from modernet.data.randaugment import CHOICES, OPERATIONS, Operation, rand_augment

FILL = (124, 116, 104)
RECIPE = recipe_config("modern")
MEAN = (0.5, 0.5, 0.5)
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


def noise_image() -> torch.Tensor:
    return torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def test_operations_are_those_of_the_authors_policy():
    assert list(OPERATIONS) == list(TIMM_NAMES)
    assert list(TIMM_NAMES.values()) == auto_augment._RAND_INCREASING_TRANSFORMS


def difference_to_timm(
    name: str, image: torch.Tensor, level: float, interpolation: str, along_one_axis: bool = False
) -> np.ndarray:
    """Absolute differences (H, W, 3), of 255, at this level of 10."""
    fill = torch.tensor(FILL)[:, None, None].float()
    operation, sampling = OPERATIONS[name], Sampling(interpolation, fill, along_one_axis)
    level_to_argument = auto_augment.LEVEL_TO_ARG[TIMM_NAMES[name]]
    arguments = level_to_argument(level, {"translate_pct": 0.45}) if level_to_argument else ()
    resample = Image.Resampling[interpolation.upper()]
    pil_image = Image.fromarray(image[0].permute(1, 2, 0).numpy())
    timm_operation = auto_augment.NAME_TO_OP[TIMM_NAMES[name]]
    expected = np.asarray(timm_operation(pil_image, *arguments, resample=resample, fillcolor=FILL)).astype(int)
    signed_levels = [level / 10, -level / 10] if operation.signed else [level / 10]  # timm draws the sign
    ours = [operation.apply(image, torch.tensor([value]), sampling)[0] for value in signed_levels]
    return min((np.abs(image.permute(1, 2, 0).numpy() - expected) for image in ours), key=np.mean)


@pytest.mark.parametrize("along_one_axis", [False, True])
@pytest.mark.parametrize("level", [0.7, 4.3, 9.0, 9.9])
@pytest.mark.parametrize("name", TIMM_NAMES)
def test_operation_equals_timms(name, level, along_one_axis):
    """The tolerance covers rounding in single precision."""
    for image in (smooth_image(), noise_image()):
        difference = difference_to_timm(name, image, level, "bilinear", along_one_axis)
        assert difference.max() <= 1
        assert difference.mean() < 0.06


@pytest.mark.parametrize("level", [0.7, 4.3, 9.0])
@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
def test_bicubic_operation_equals_timms_but_for_the_cubic(name, level):
    """Pillow's cubic has a = -1, torch's a = -0.75. An interpolation that is not cubic differs by more."""
    bicubic = difference_to_timm(name, smooth_image(), level, "bicubic")
    assert bicubic.mean() < 1
    assert bicubic.max() <= 4


@pytest.mark.parametrize("size", [(32, 32), (17, 40), (40, 17)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_interpolation_along_one_axis_equals_that_along_both(interpolation, size):
    """But for rounding: fewer than 1 of 100 values differ, by 1."""
    images = torch.randint(256, (40, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    levels = torch.linspace(-1, 1, 40)
    fill = torch.tensor(FILL)[:, None, None].float()
    for name, operation in OPERATIONS.items():
        signed_levels = levels if operation.signed else levels.abs()
        both, one = (
            operation.apply(images, signed_levels, Sampling(interpolation, fill, along)) for along in (False, True)
        )
        difference = (both.int() - one.int()).abs()
        assert difference.max() <= 1, name
        assert (difference > 0).float().mean() < 0.01, name


@pytest.mark.parametrize("along_one_axis", [False, True])
def test_rand_augment_gives_each_image_its_operations(along_one_axis):
    """The images of a batch stay in their order: of equal images, each has the result of its draws."""
    originals = torch.cat([smooth_image(), noise_image()]).repeat(50, 1, 1, 1)
    torch.manual_seed(0)
    augmented = rand_augment(originals, RECIPE, MEAN, along_one_axis=along_one_axis)
    roughness = (augmented[..., 1:].int() - augmented[..., :-1].int()).abs().float().mean((1, 2, 3))
    assert (roughness[1::2].median() > 3 * roughness[::2].median()).item()
    unchanged = (augmented == originals).flatten(1).all(1)
    assert 10 < unchanged.sum() < 45


def test_translation_is_not_rounded_to_whole_pixels():
    ramp = torch.arange(0, 256, 8, dtype=torch.uint8).expand(1, 3, 32, 32).clone()
    sampling = Sampling("bilinear", torch.zeros(3, 1, 1))
    moved = OPERATIONS["translate_x"].apply(ramp, torch.tensor([1.25 / 32 / 0.45]), sampling)
    assert torch.equal(moved[..., :30], ramp[..., :30] + 10)  # 1.25 pixels of 8


def test_each_image_of_a_batch_has_its_own_level():
    levels = torch.tensor([-0.9, 0.2, 0.9])
    for operation, along_one_axis in product(OPERATIONS.values(), (False, True)):
        images = torch.cat([smooth_image(), noise_image(), smooth_image().flip(-1)])
        sampling = Sampling("bicubic", torch.zeros(3, 1, 1), along_one_axis)
        signed_levels = levels if operation.signed else levels.abs()
        single = [
            operation.apply(image, level, sampling)
            for image, level in zip(images.split(1), signed_levels.split(1), strict=True)
        ]
        assert torch.equal(operation.apply(images, signed_levels, sampling), torch.cat(single))


def test_rand_augment_applies_each_drawn_operation_with_probability_half():
    """With two operations per image, a quarter of the images stays unchanged."""
    original = smooth_image()
    images = original.repeat(1000, 1, 1, 1)
    torch.manual_seed(0)
    augmented = rand_augment(images, RECIPE, MEAN)
    unchanged = (augmented == images).flatten(1).all(1).float().mean()
    assert 0.21 < unchanged < 0.31
    assert augmented.unique(dim=0).shape[0] > 100
    assert torch.equal(images, original.repeat(1000, 1, 1, 1))  # the input is not modified


def draw_timm_levels(n: int) -> list[list[float]]:
    """The levels that timm draws for each operation in `n` images, in 0..10 and without their signs."""
    random_seed(0)
    policy = auto_augment.rand_augment_transform("rand-m9-mstd0.5-inc1", {"img_mean": FILL})

    def record_in(levels: list[float]) -> Callable[..., tuple[()]]:
        return lambda level, hparams: levels.append(level) or ()

    recorded: list[list[float]] = [[] for _ in policy.ops]
    for operation, levels in zip(policy.ops, recorded, strict=True):
        operation.level_fn, operation.aug_fn = record_in(levels), lambda image, **_: image
    image = Image.new("RGB", (1, 1))
    for _ in range(n):
        policy(image)
    return recorded


def draw_levels(n: int, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The levels that rand_augment draws for each operation in `n` images, in -10..10."""
    recorded: list[list[torch.Tensor]] = [[] for _ in CHOICES]

    def recording(levels: list[torch.Tensor], signed: bool) -> Operation:
        return Operation(lambda images, level, _: (levels.append(10 * level), images)[1], signed)

    choices = [recording(levels, choice.signed) for levels, choice in zip(recorded, CHOICES, strict=True)]
    monkeypatch.setattr("modernet.data.randaugment.CHOICES", choices)
    torch.manual_seed(0)
    rand_augment(torch.zeros(n, 3, 1, 1, dtype=torch.uint8), RECIPE, MEAN)
    return [torch.cat(levels) for levels in recorded[:-1]]  # the last choice is no operation


def test_rand_augment_draws_operations_levels_and_signs_as_timm(monkeypatch):
    n = 10_000
    theirs, ours = draw_timm_levels(n), draw_levels(n, monkeypatch)
    deciles = np.arange(0.1, 1, 0.1)
    for name, a, b in zip(OPERATIONS, ours, theirs, strict=True):
        assert len(a) / n == pytest.approx(len(b) / n, abs=0.015), name
        assert np.abs(np.quantile(a.abs().numpy(), deciles) - np.quantile(b, deciles)).max() < 0.15, name
        assert (a < 0).float().mean().item() == pytest.approx(0.5 if OPERATIONS[name].signed else 0.0, abs=0.08), name


def test_rand_augment_of_magnitude_zero_returns_its_input():
    images = smooth_image()
    assert rand_augment(images, recipe_config("modern", randaugment=0.0), MEAN) is images
