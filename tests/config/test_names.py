"""Display names: of the table in names.yaml, of the user's table, and written out for all others."""

import pytest
import yaml
from helpers import MAIN_PATH, ROOT

from modernet.config.names import study_name, variant_name
from modernet.config.search_path import VARIABLE, config_files
from modernet.errors import UserError


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        ("patchify_stem", "Patchify stem"),
        ("convnext+act=relu", "ConvNeXt, ReLU"),
        ("move_up_depthwise+kernel_size=11", "Move up depthwise, 11\N{MULTIPLICATION SIGN}11 kernel"),
        ("gelu+recipe.min_lr=1e-06", "GELU, min lr 1e-06"),
        ("my_step", "My step"),
    ],
)
def test_variants_have_the_names_of_step_and_changes(variant, name):
    assert variant_name(variant) == name


def test_studies_are_named_after_protocol_epochs_size_and_other_changes():
    assert study_name("cifar10_micro", "micro", epochs=[16, 16]) == "CIFAR-10, 16 epochs, size micro"
    assert study_name("digits", "micro", epochs=[1]) == "Digits, 1 epoch, size micro"
    assert study_name("imagenet", "t", epochs=[300, 90]) == "ImageNet-1K, 90 and 300 epochs, size t"
    assert study_name("cifar10", "t", epochs=[2, 6, 18]) == "CIFAR-10, 2 to 18 epochs, size t"
    changes = "recipe.epochs=5+recipe.lr=0.01"
    assert study_name("cifar10", "t", changes, [5]) == "CIFAR-10, 5 epochs, size t, learning rate 0.01"
    assert study_name("cifar10", "t", changes) == "CIFAR-10, size t, 5 epochs, learning rate 0.01"


def test_every_step_and_protocol_has_an_entry():
    table = yaml.safe_load((ROOT / "configs/names.yaml").read_text())
    assert set(MAIN_PATH) | {"resnext", "grn", "conv_stem", "inception_mixer", "large_kernel"} <= set(table["step"])
    assert set(config_files("protocol")) <= set(table["protocol"])


def test_the_users_table_replaces_entries_and_its_mistakes_are_reported(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    file = tmp_path / "names.yaml"
    file.write_text("step: {gelu: Gaussian}\n")
    assert variant_name("gelu+act=relu") == "Gaussian, ReLU"
    for number, (text, message) in enumerate((("steps: {}", "has a table 'steps'"), ("step: gelu", "tables of names"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "names.yaml").write_text(text)
        monkeypatch.setenv(VARIABLE, str(folder))
        with pytest.raises(UserError, match=message):
            variant_name("gelu")
