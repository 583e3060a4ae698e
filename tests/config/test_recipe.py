"""A recipe that cannot do what it says is refused."""

from dataclasses import replace

import pytest
from helpers import compose
from pydantic import ValidationError

from modernet.config.schema import RecipeConfig
from modernet.config.search_path import add_config_dir

MESSAGE = "must be below recipe.epochs=1, or no step reaches the peak, got 2"


@pytest.mark.parametrize(("epochs", "warmup_epochs"), [(1, 0), (1, 0.5), (12, 2), (300, 20)])
def test_warmup_shorter_than_the_training_is_accepted(epochs, warmup_epochs):
    assert RecipeConfig(epochs=epochs, warmup_epochs=warmup_epochs).warmup_epochs == warmup_epochs


@pytest.mark.parametrize("warmup_epochs", [1, 2, 20])
def test_warmup_as_long_as_the_training_is_refused(warmup_epochs):
    with pytest.raises(ValidationError, match=r"must be below recipe\.epochs=1, or no step reaches the peak, got"):
        RecipeConfig(epochs=1, warmup_epochs=warmup_epochs)
    with pytest.raises(ValidationError, match=r"must be below recipe\.epochs=1"):
        replace(RecipeConfig(epochs=90, warmup_epochs=warmup_epochs), epochs=1)


def test_warmup_of_invalid_epochs_is_not_reported_twice():
    with pytest.raises(ValidationError) as caught:
        RecipeConfig(epochs=0, warmup_epochs=2)
    assert [error["loc"] for error in caught.value.errors()] == [("epochs",)]


def test_train_refuses_a_single_epoch_with_the_warmup_of_the_protocol(train_in_process, tmp_path):
    result = train_in_process("recipe.epochs=1")
    assert result.returncode == 2
    assert result.stderr == f"train.py: error: recipe.warmup_epochs {MESSAGE}\n"
    assert not (tmp_path / "runs").exists()


def imagenet_recipe(*overrides: str, step: str = "convnext") -> RecipeConfig:
    return compose("protocol=imagenet", f"+step={step}", *overrides).recipe


@pytest.mark.parametrize(
    ("name", "epochs", "lr", "drop_path_rate", "randaugment", "train_image_size", "copies"),
    [("a2", 300, 5e-3, 0.05, 7.0, None, 3), ("a3", 100, 8e-3, 0.0, 6.0, 160, 1)],
)
def test_recipes_of_resnet_strikes_back(name, epochs, lr, drop_path_rate, randaugment, train_image_size, copies):
    recipe = imagenet_recipe(f"recipe={name}")
    assert (recipe.optimizer, recipe.loss, recipe.batch_size, recipe.crop_pct) == (
        "lamb",
        "binary_cross_entropy",
        2048,
        0.95,
    )
    assert (recipe.epochs, recipe.peak_lr, recipe.drop_path_rate, recipe.randaugment) == (
        epochs,
        lr,
        drop_path_rate,
        randaugment,
    )
    assert (recipe.train_image_size, recipe.repeated_augmentation) == (train_image_size, copies)


def test_modern_short_is_the_modern_recipe_at_100_epochs_with_its_tuned_values():
    short, modern = imagenet_recipe("recipe=modern_short"), imagenet_recipe("recipe=modern")
    assert short.epochs == 100
    assert replace(short, name="modern", epochs=300) == modern


@pytest.mark.parametrize("step", ["resnet50", "modern_recipe", "grn"])
def test_the_recipe_of_the_command_line_wins_over_that_of_a_step(step):
    """So `+study=roadmap recipe=a3` trains every step with it."""
    recipe = imagenet_recipe("recipe=a3", step=step)
    assert (recipe.name, recipe.optimizer, recipe.epochs) == ("a3", "lamb", 100)


def test_a_derived_protocol_without_the_tuned_values_of_its_base_is_warned_of(monkeypatch, tmp_path):
    (tmp_path / "protocol").mkdir()
    header = "# @package _global_\n# Mine.\ndefaults: [digits, _self_]\n"
    text = f"{header}protocol: short\nrecipe: {{epochs: 1, warmup_epochs: 0}}\n"
    (tmp_path / "protocol/short.yaml").write_text(text)
    monkeypatch.setenv("MODERNET_CONFIG_DIR", "")
    add_config_dir(tmp_path)
    (warning,) = compose("protocol=short", "+step=gelu").warnings
    assert warning.startswith("the values in tuned/digits_modern.yaml do not reach protocol=short")
    classic = compose("protocol=short", "+step=gelu", "recipe=classic", "recipe.epochs=2")
    assert not any("tuned" in warning for warning in classic.warnings)
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned/short_modern.yaml").write_text("lr: 0.001\n")
    assert not compose("protocol=short", "+step=gelu").warnings
