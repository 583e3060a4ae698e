"""Each augmentation against its definition: single images exactly, proportions over many draws."""

import numpy as np
import pytest
import torch
from helpers import data_config, recipe_config
from PIL import Image
from timm.data import auto_augment

from modernet.data.loader import augment
from modernet.data.augment import OPS, erased, mix, rand_augment, random_erasing

FILL = (124, 116, 104)
LEVEL = 9.0  # of 10
# Our operations, and what timm's policy `rand-m9-mstd0.5-inc1`, which the authors used, calls them.
TIMMS = {
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


def photograph() -> torch.Tensor:
    """A smooth random (1, 3, 32, 32) uint8 image."""
    noise = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    return (torch.nn.functional.interpolate(noise, size=32, mode="bicubic") * 255).clamp(0, 255).byte()


def test_the_operations_are_those_of_the_authors_policy():
    assert list(OPS) == list(TIMMS)
    assert list(TIMMS.values()) == auto_augment._RAND_INCREASING_TRANSFORMS


@pytest.mark.parametrize("name", TIMMS)
def test_an_operation_does_what_timms_does(name):
    image, fill = photograph(), list(map(float, FILL))
    level_to_argument = auto_augment.LEVEL_TO_ARG[TIMMS[name]]
    arguments = level_to_argument(LEVEL, {"translate_pct": 0.45}) if level_to_argument else ()
    picture = Image.fromarray(image[0].permute(1, 2, 0).numpy())
    theirs = auto_augment.NAME_TO_OP[TIMMS[name]](
        picture, *arguments, resample=Image.Resampling.BILINEAR, fillcolor=FILL
    )
    expected = np.asarray(theirs).astype(int)

    def gap(level: float) -> float:
        ours = OPS[name].apply(image, level, fill)[0].permute(1, 2, 0).numpy().astype(int)
        return float(np.abs(ours - expected).mean())

    # timm draws the direction of what has one. Levels of 255: rounding, or places between pixels where it is moved.
    found = min(gap(LEVEL / 10), gap(-LEVEL / 10)) if OPS[name].signed else gap(LEVEL / 10)
    assert found < (5 if name.startswith(("rotate", "shear", "translate")) else 1)


def test_rand_augment_applies_half_of_what_it_draws_to_each_image_by_itself():
    """Two rounds, each applied half of the time: a quarter of the images stays as it was."""
    images = photograph().repeat(2000, 1, 1, 1)
    torch.manual_seed(0)
    changed = rand_augment(images, 9.0, 0.5, (0.5, 0.5, 0.5))
    same = (changed == images).flatten(1).all(1).float().mean()
    assert 0.22 < same < 0.30
    assert changed.unique(dim=0).shape[0] > 100
    assert torch.equal(images, photograph().repeat(2000, 1, 1, 1))
    assert rand_augment(images, 0.0, 0.5, (0.5, 0.5, 0.5)) is images


def test_a_quarter_of_the_images_is_erased_in_rectangles_of_the_stated_sizes():
    torch.manual_seed(0)
    masks = erased(4000, 64, 64, 0.25)
    areas = masks.flatten(1).float().mean(1)
    hit = areas > 0
    assert 0.23 < hit.float().mean() < 0.27
    assert areas[hit].min() > 0.015
    assert areas[hit].max() < 0.345
    assert areas[hit].mean() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.02)
    for mask in masks[hit][:50, 0]:
        assert mask.sum() == mask.any(1).sum() * mask.any(0).sum()  # one rectangle


def test_an_erased_pixel_is_noise_of_its_own_and_the_others_stay():
    torch.manual_seed(0)
    images = torch.full((400, 3, 16, 16), 7.0)
    after = random_erasing(images, 1.0)
    noise = after[after != 7.0]
    assert abs(noise.mean()) < 0.05
    assert noise.std() == pytest.approx(1.0, abs=0.05)
    assert noise.unique().numel() > 0.9 * noise.numel()
    assert random_erasing(images, 0.0) is images


def mixed(n: int, **changes: float) -> tuple[list[float], int]:
    """The second image's part of the first in `n` batches, and how many of them were cut rather than blended."""
    images = torch.stack([torch.zeros(3, 32, 32), torch.ones(3, 32, 32)])
    mixing = mix(recipe_config("modern", **changes), 2)
    parts, cut = [], 0
    torch.manual_seed(0)
    for _ in range(n):
        some, labels = mixing(images, torch.tensor([0, 1]))
        assert labels.sum(1).tolist() == pytest.approx([1.0, 1.0])
        assert labels[0, 1].item() == pytest.approx(some[0].mean().item(), abs=1e-5)  # labels go by pixels
        parts.append(labels[0, 1].item())
        cut += bool(((some[0] == 0) | (some[0] == 1)).all())
    return parts, cut


def test_mixup_and_cutmix_take_turns():
    _, cut = mixed(500)
    assert 0.43 < cut / 500 < 0.57


def test_mixup_draws_from_its_beta_distribution():
    parts, cut = mixed(2000, cutmix_alpha=0.0)
    assert cut < 20
    assert np.mean(parts) == pytest.approx(0.5, abs=0.03)
    assert np.var(parts) == pytest.approx(1 / (4 * (2 * 0.8 + 1)), rel=0.1)  # of Beta(0.8, 0.8)


def test_cutmix_alone_always_cuts():
    assert mixed(200, mixup_alpha=0.0)[1] == 200


def test_without_either_labels_stay_numbers():
    images, labels = torch.zeros(2, 3, 8, 8), torch.tensor([0, 1])
    assert mix(recipe_config("modern", mixup_alpha=0.0, cutmix_alpha=0.0), 2)(images, labels) == (images, labels)


def test_a_random_crop_is_a_shift_by_at_most_the_padding():
    some = torch.randint(256, (64, 3, 8, 8), dtype=torch.uint8)
    cropped = augment.random_crop(some, 2)
    padded = torch.nn.functional.pad(some, [2] * 4)
    places = set()
    for before, after in zip(padded, cropped, strict=True):
        found = [(y, x) for y in range(5) for x in range(5) if torch.equal(before[:, y : y + 8, x : x + 8], after)]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 15  # of 25
    assert augment.random_crop(some, 0) is some


def test_half_of_the_images_are_mirrored():
    some = torch.randint(256, (1000, 3, 8, 8), dtype=torch.uint8)
    flipped = augment.random_flip(some)
    mirrored = (flipped == some.flip(-1)).flatten(1).all(1)
    same = (flipped == some).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 450 < mirrored.sum() < 550


def test_a_pixel_of_the_mean_becomes_zero():
    like = data_config("cifar10")
    images = torch.tensor(like.mean)[None, :, None, None].mul(255).round().byte().repeat(1, 1, 4, 4)
    assert augment.normalize(images, like).abs().max() < 0.01
