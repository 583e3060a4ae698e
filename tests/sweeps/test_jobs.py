"""The runs of a sweep follow from the command line and the params of the sweeper."""

import pytest
from helpers import ROOT
from hydra import initialize_config_dir

from modernet.errors import UserError
from modernet.sweeps.jobs import Job, expand, runs_at_once

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


@pytest.mark.parametrize(
    ("n_jobs", "device", "world_size", "expected"),
    [
        ("auto", "cpu", 1, 6),
        ("auto", "auto", 1, 6),
        ("auto", "mps", 1, 1),
        ("auto", "cpu", 2, 1),
        (3, "cuda", 1, 3),
        (1, "cpu", 2, 1),
    ],
)
def test_runs_at_once(monkeypatch, n_jobs, device, world_size, expected):
    monkeypatch.setattr("joblib.cpu_count", lambda: 6)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: None)
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": world_size, "LOCAL_WORLD_SIZE": world_size}.items():
        monkeypatch.setenv(name, str(value))
    assert runs_at_once(n_jobs, device) == expected


def test_an_accelerator_trains_one_run_at_a_time(monkeypatch):
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: "cuda")
    assert runs_at_once("auto", "auto") == 1


@pytest.mark.parametrize(
    ("n_jobs", "world_size", "message"),
    [
        *((value, 1, f"must be auto or an integer above 0, got {value}") for value in (0, -1, True, "all", 1.5, None)),
        (2, 2, "must be 1 where 2 processes train each run, got 2"),
    ],
)
def test_other_numbers_of_runs_at_once_are_refused(monkeypatch, n_jobs, world_size, message):
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": world_size, "LOCAL_WORLD_SIZE": world_size}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(UserError, match=message):
        runs_at_once(n_jobs, "cpu")


@pytest.mark.parametrize("kernel", ["model.kernel_size=5", "++model.kernel_size=5"])
def test_arguments_win_over_params_of_the_same_key(kernel):
    jobs = expand([kernel, "+step=gelu,convnext"], KERNELS)
    assert variants(jobs) == [("gelu+kernel_size=5", 0), ("convnext+kernel_size=5", 0)]


def test_a_run_with_several_names_is_one_job():
    jobs = expand(["+step=move_up_depthwise,kernel_size", "model.kernel_size=7"])
    assert variants(jobs) == [("kernel_size", 0)]
    jobs = expand(["+step=resnet50,modern_recipe,stage_ratio", "recipe=modern_short"])
    assert variants(jobs) == [("modern_recipe+recipe=modern_short", 0), ("stage_ratio+recipe=modern_short", 0)]


def test_runs_that_differ_in_their_seed_alone_are_composed_once(monkeypatch):
    import hydra

    composed = []
    compose = hydra.compose
    monkeypatch.setattr(hydra, "compose", lambda *words: composed.append(words) or compose(*words))
    assert len(expand(["+step=resnet50", "seed=range(20)"])) == 20
    assert len(composed) < 5


def test_expand_raises_for_a_mistake_in_any_run():
    with pytest.raises(UserError, match="seed must be an integer, 0 or more, got -1"):
        expand(["seed=0,1,-1"])
