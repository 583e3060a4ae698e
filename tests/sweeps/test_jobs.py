"""The runs of a sweep follow from the command line and the params of the sweeper."""

import json
import re

import numpy as np
import pytest
from helpers import ROOT
from hydra import initialize_config_dir

from modernet.errors import UserError
from modernet.sweeps.jobs import Job, expand

KERNELS = {"+step": "move_up_depthwise", "model.kernel_size": "3,5,7,9,11"}


@pytest.fixture(scope="module", autouse=True)
def hydra_initialized():
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        yield


def variants(jobs: list[Job]) -> list[tuple[str, int]]:
    return [(job.experiment.variant, job.experiment.seed) for job in jobs]


def test_expand_is_the_product_of_params_and_arguments_in_order():
    jobs = expand(["seed=0,1", "runs=here"], KERNELS)
    kernels = [(job.experiment.model.kernel_size, job.experiment.seed) for job in jobs]
    assert kernels == [(kernel, seed) for kernel in (3, 5, 7, 9, 11) for seed in (0, 1)]
    assert variants(jobs)[4:6] == [("kernel_size", 0), ("kernel_size", 1)]
    assert all(job.folder.parts[:2] == ("here", "digits") for job in jobs)
    assert jobs[1].overrides == ["+step=move_up_depthwise", "model.kernel_size=3", "seed=1", "runs=here"]


@pytest.mark.parametrize("kernel", ["model.kernel_size=5", "++model.kernel_size=5"])
def test_arguments_win_over_params_of_the_same_key(kernel):
    jobs = expand([kernel, "+step=gelu,convnext"], KERNELS)
    assert variants(jobs) == [("gelu+kernel_size=5", 0), ("convnext+kernel_size=5", 0)]


def test_a_run_with_several_names_is_one_job():
    jobs = expand(["+step=move_up_depthwise,kernel_size", "model.kernel_size=7"])
    assert variants(jobs) == [("kernel_size", 0)]
    jobs = expand(["+step=resnet50,modern_recipe,stage_ratio", "recipe=modern_short,modern"])
    assert variants(jobs) == [("modern_recipe", 0), ("stage_ratio", 0)]  # the protocol sets the epochs of both
    jobs = expand(["+step=resnet50,modern_recipe,stage_ratio", "recipe=a2"])
    assert variants(jobs) == [("modern_recipe+recipe=a2", 0), ("stage_ratio+recipe=a2", 0)]


def test_runs_that_differ_in_their_seed_alone_are_composed_once(monkeypatch):
    import hydra

    composed = []
    compose = hydra.compose
    monkeypatch.setattr(hydra, "compose", lambda *words: composed.append(words) or compose(*words))
    assert len(expand(["+step=resnet50", "seed=range(20)"])) == 20
    assert len(composed) < 5


def test_an_interrupted_run_on_other_files_is_refused_before_any_run_starts(tmp_path):
    images, labels = np.zeros((4, 32, 32, 3), np.uint8), np.array([0, 1, 0, 1])
    np.savez(tmp_path / "cifar10.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    words = ["protocol=cifar10_micro", "recipe.batch_size=4", f"data.root={tmp_path}", f"runs={tmp_path / 'runs'}"]
    job = expand([*words, "seed=0,1"])[1]
    job.folder.mkdir(parents=True)
    (job.folder / "checkpoint-1.pt").touch()
    config = job.experiment.config | {"data_root": str(tmp_path), "data_fingerprint": "0123456789abcdef"}
    (job.folder / "config.yaml").write_text(json.dumps(config))
    with pytest.raises(UserError, match=re.escape(f"changed since {job.folder} was interrupted")):
        expand([*words, "seed=0,1"])
    assert len(expand([*words, "seed=0,2"])) == 2


def test_another_step_than_the_end_of_a_study_is_refused():
    """The ablations would be those of the end, and one of them would be missing."""
    params = {"+step": "convnext", "ablate": "[],gelu"}
    assert len(expand(["+study=leave_one_out", "study.end=grn"], params | {"+step": "grn"})) == 2
    for arguments in (["+step=grn"], ["+step=convnext,grn"]):
        with pytest.raises(UserError, match=r"study.end=convnext, not of \+step=grn"):
            expand(["+study=leave_one_out", *arguments], params)


def test_expand_raises_for_a_mistake_in_any_run():
    with pytest.raises(UserError, match="seed must be an integer, 0 or more, got -1"):
        expand(["seed=0,1,-1"])


@pytest.mark.parametrize(("split", "num_images"), [("train/test", 1437), ("train/val", 1293)])
def test_batch_of_any_run_that_is_larger_than_the_data_set_is_refused(split, num_images):
    assert len(expand([f"recipe.batch_size=64,{num_images}", f"data.split={split}"])) == 2
    with pytest.raises(UserError, match=f"recipe.batch_size must be at most {num_images}, .*, got {num_images + 1}"):
        expand([f"recipe.batch_size=64,{num_images + 1}", f"data.split={split}"])
