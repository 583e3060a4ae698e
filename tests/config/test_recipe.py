"""A recipe that cannot do what it says is refused."""

from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from pydantic import ValidationError

from modernet.config.experiment import build_experiment
from modernet.config.schema import RecipeConfig
from modernet.config.search_path import CONFIGS, config_files

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


def test_every_protocol_has_a_valid_warmup_with_both_recipes():
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        for protocol in config_files("protocol"):
            for step in ("resnet50", "convnext"):
                recipe = build_experiment(compose("config", [f"protocol={protocol}", f"+step={step}"])).recipe
                assert recipe.warmup_epochs < recipe.epochs


def test_train_refuses_a_single_epoch_with_the_warmup_of_the_protocol(train_in_process, tmp_path):
    result = train_in_process("recipe.epochs=1")
    assert result.returncode == 2
    assert result.stderr == f"train.py: error: recipe.warmup_epochs {MESSAGE}\n"
    assert not (tmp_path / "runs").exists()
