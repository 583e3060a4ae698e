"""What is refused, or warned of, before a run starts."""

import re

import pytest
from helpers import data_config, recipe_config
from records import make_epoch

from modernet import roadmap
from modernet.errors import UserError
from modernet.training.checks import (
    check_batch_size,
    check_image_size,
    check_recipe,
    find_warnings,
    slow_input_warning,
)

DIGITS = data_config("digits")


def test_crops_of_images_in_memory_are_warned_of():
    recipe, data = recipe_config("modern", batch_size=64, crop_pct=0.95), data_config("digits", crop_pct=0.5)
    first, second = find_warnings(recipe, data, 128, 10)
    assert first.startswith("recipe.crop_pct=0.95 has no effect: digits is in memory")
    assert second.startswith("data.crop_pct=0.5 has no effect")
    assert find_warnings(recipe, data_config("imagenette", crop_pct=0.5), 128, 10) == []


@pytest.mark.parametrize(
    ("batch_size", "num_images", "left_out"),
    [(64, 1437, None), (256, 1437, r"157 of the 1,437 training images \(11%\)"), (100, 199, r"99 of .* \(50%\)")],
)
def test_batch_that_leaves_out_more_than_a_tenth_of_an_epoch_is_warned_of(batch_size, num_images, left_out):
    warnings = find_warnings(recipe_config("modern", batch_size=batch_size), DIGITS, num_images, num_classes=10)
    if left_out is None:
        assert warnings == []
    else:
        (warning,) = warnings
        assert warning.startswith(f"recipe.batch_size={batch_size} leaves ")
        assert re.search(left_out, warning)


@pytest.mark.parametrize(("num_classes", "is_warned_of"), [(2, True), (5, True), (6, False)])
def test_top5_of_fewer_than_six_classes_is_warned_of(num_classes, is_warned_of):
    warnings = find_warnings(recipe_config("modern", batch_size=64), DIGITS, 128, num_classes)
    expected = [f"the top-5 accuracy of {num_classes} classes is 100 % by definition"]
    assert warnings == (expected if is_warned_of else [])


def test_batch_larger_than_the_training_set_is_refused():
    check_batch_size(recipe_config("modern", batch_size=100), 100)
    with pytest.raises(UserError, match=r"recipe\.batch_size must be at most 99, the number of .* images, got 100"):
        check_batch_size(recipe_config("modern", batch_size=100), 99)


def test_images_too_small_for_the_strides_are_refused():
    with pytest.raises(UserError, match="needs images of at least 32 pixels, digits has 8"):
        check_image_size(roadmap("micro")["convnext"], data_config("digits"))


@pytest.mark.parametrize(("data_wait", "is_warned_of"), [(9.9, False), (10.1, True)])
def test_more_than_a_tenth_of_an_epoch_without_data_is_warned_of(data_wait, is_warned_of):
    warning = slow_input_warning(make_epoch(3, metrics={"data_wait": data_wait}), num_workers=2)
    expected = "10 % of epoch 3 was spent waiting for data, with num_workers=2"
    assert (warning or "").startswith(expected) == is_warned_of


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        ("cifar10", {}, "recipe.train_image_size=160 needs data in image files or shards, cifar10 is in memory"),
        ("imagenette", {}, "recipe.train_image_size must be at most data.image_size=128, or null, got 160"),
        ("folder", {"train_image_size": 16}, "needs images of at least 32 pixels, folder has 16"),
        ("shards", {"repeated_augmentation": 3}, "recipe.repeated_augmentation must be 1 for data.kind=shards"),
    ],
)
def test_recipe_that_the_data_cannot_follow_is_refused(data, changes, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check_recipe(roadmap("t")["convnext"], recipe_config("a3", **changes), data_config(data))


def test_lamb_without_timm_is_one_line_that_names_the_extra(monkeypatch):
    monkeypatch.setattr("modernet.training.checks.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"recipe\.optimizer=lamb needs timm: pip install 'modernet\[recipes\]'"):
        check_recipe(roadmap("t")["convnext"], recipe_config("a3"), data_config("imagenet"))


def test_a3_is_accepted_where_images_are_files():
    check_recipe(roadmap("t")["convnext"], recipe_config("a3"), data_config("imagenet"))
