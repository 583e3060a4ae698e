"""The shipped data sets and protocols compose, and their files explain themselves."""

import hydra
import pytest
from helpers import ROOT
from hydra import initialize_config_dir

from modernet.config.experiment import Experiment, build_experiment
from modernet.config.search_path import config_files


def experiment(*overrides: str) -> Experiment:
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        return build_experiment(hydra.compose("config", list(overrides)))


@pytest.mark.parametrize("protocol", config_files("protocol"))
def test_protocol_composes_under_its_name(protocol):
    composed = experiment(f"protocol={protocol}", "+step=convnext")
    assert (composed.protocol, composed.variant, composed.warnings) == (protocol, "convnext", ())


@pytest.mark.parametrize("data", config_files("data"))
def test_data_config_composes_under_its_name(data):
    assert experiment(f"data={data}").data.name == data


def test_cifar100_protocol_has_the_numbers_of_cifar10():
    ten, hundred = (experiment(f"protocol={name}", "+step=convnext") for name in ("cifar10", "cifar100"))
    assert (hundred.model, hundred.recipe) == (ten.model, ten.recipe)
    assert (hundred.data.name, hundred.data.num_classes) == ("cifar100", 100)


def test_folder_protocol_reads_the_classes_from_the_folder():
    composed = experiment("protocol=folder", "+step=convnext", "data.root=images")
    assert (composed.data.num_classes, composed.data.image_size, composed.model.stem_stride) == (None, 224, 4)
    assert (composed.size, composed.recipe.batch_size, composed.recipe.epochs) == ("t", 256, 100)
