"""The shipped data sets compose, and protocols have their numbers."""

import pytest
from helpers import compose

from modernet.config.search_path import config_files


@pytest.mark.parametrize("data", config_files("data"))
def test_data_config_composes_under_its_name(data):
    assert compose(f"data={data}").data.name == data


def test_cifar100_protocol_has_the_numbers_of_cifar10():
    ten, hundred = (compose(f"protocol={name}", "+step=convnext") for name in ("cifar10", "cifar100"))
    assert (hundred.model, hundred.recipe) == (ten.model, ten.recipe)
    assert (hundred.data.name, hundred.data.num_classes) == ("cifar100", 100)


def test_folder_protocol_reads_the_classes_from_the_folder():
    composed = compose("protocol=folder", "+step=convnext", "data.root=images")
    assert (composed.data.num_classes, composed.data.image_size, composed.model.stem_stride) == (None, 224, 4)
    assert (composed.size, composed.recipe.batch_size, composed.recipe.epochs) == ("t", 256, 100)
