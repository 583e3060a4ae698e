"""The sweeps of configs/study/ have the runs that their comments promise."""

from dataclasses import replace

import hydra
import pytest
from helpers import MAIN_PATH, ROOT
from hydra import initialize_config_dir

from modernet.analysis.study_parts import (
    BUDGET_EPOCHS,
    BUDGET_NETWORKS,
    HELD_OUT_EPOCHS,
    KERNEL_BASE,
    KERNEL_SIZES,
    LAYER_SCALES,
    RATE_FACTORS,
    swept_kernel_size,
)
from modernet.config import studies
from modernet.config.roadmap import parent_step, roadmap
from modernet.sweeps.jobs import Job, expand


@pytest.fixture(scope="module", autouse=True)
def hydra_initialized():
    studies.register()
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        yield


def jobs_of(*overrides: str) -> list[Job]:
    config = hydra.compose("config", list(overrides), return_hydra_config=True)
    return expand(list(overrides), config.hydra.sweeper.params, lambda experiment: replace(experiment))


def test_budget_trains_each_network_of_the_page_at_each_length():
    jobs = jobs_of("+study=budget", "protocol=cifar10_micro")
    expected = [(network, epochs) for network in BUDGET_NETWORKS for epochs in BUDGET_EPOCHS]
    assert [(job.experiment.step, job.experiment.recipe.epochs) for job in jobs] == expected


def test_layer_scale_trains_the_end_with_three_initial_values():
    jobs = jobs_of("+study=layer_scale", "protocol=cifar10_micro")
    assert [job.experiment.model.layer_scale for job in jobs] == [1e-6, 0.1, 0.0]
    assert [job.experiment.variant for job in jobs] == list(LAYER_SCALES)


def test_kernels_trains_the_step_of_the_page_with_each_kernel_size():
    networks = [job.experiment.variant for job in jobs_of("+study=kernels", "protocol=cifar10_micro")]
    assert networks[0] == KERNEL_BASE
    assert [swept_kernel_size(network) for network in networks] == [3, 5, 7, 9, 11]
    assert len(networks) == KERNEL_SIZES


@pytest.mark.parametrize("protocol", ["cifar10_micro", "digits"])
def test_learning_rate_trains_each_modern_step_at_multiples_of_the_tuned_rate(protocol):
    words = ("+study=learning_rate", f"protocol={protocol}")
    params = hydra.compose("config", list(words), return_hydra_config=True).hydra.sweeper.params
    assert params["+step"].split(",") == MAIN_PATH[1:]
    usual = hydra.compose("config", [f"protocol={protocol}", "+step=convnext"]).recipe.lr
    jobs = jobs_of(*words, "+step=gelu")
    assert [job.experiment.recipe.lr for job in jobs] == [usual * factor for factor in RATE_FACTORS]
    assert {(one.recipe.name, one.recipe.epochs) for one in (job.experiment for job in jobs)} == {
        ("modern", HELD_OUT_EPOCHS)
    }
    assert {job.experiment.data.split for job in jobs} == {"train/val"}


def test_beyond_trains_each_step_off_the_path_and_the_steps_that_they_change():
    jobs = jobs_of("+study=beyond", "protocol=cifar10_micro")
    off_path = set(roadmap("micro")) - set(MAIN_PATH)
    parents = {parent_step(step, "micro") for step in off_path}
    assert {job.experiment.variant for job in jobs} == off_path | parents
