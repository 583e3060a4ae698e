"""How many runs a launcher trains at a time."""

import os

import pytest

from modernet.errors import UserError
from modernet.sweeps.workers import Workers, launcher_workers, runs_at_once


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
def test_runs_at_once_follow_from_setting_device_and_processes(monkeypatch, n_jobs, device, world_size, expected):
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


@pytest.mark.parametrize(
    ("launcher", "runs", "devices"),
    [
        ({"_target_": "hydra_plugins.a.b.LocalLauncher", "n_jobs": 3}, 3, 1),
        ({"_target_": "hydra_plugins.a.b.LocalLauncher", "n_jobs": 30}, 20, 1),  # as many as there are
        ({"_target_": "hydra_plugins.a.b.JoblibLauncher", "n_jobs": 1}, 1, 1),
        ({"_target_": "hydra_plugins.a.b.JoblibLauncher", "n_jobs": 10_000}, 10_000, 1),
        (
            {
                "_target_": "a.SlurmLauncher",
                "array_parallelism": 7,
                "nodes": 2,
                "tasks_per_node": 4,
                "cpus_per_task": 3,
            },
            7,
            8,
        ),
        ({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, 1, 1),
    ],
)
def test_launchers_run_this_many_at_a_time(launcher, runs, devices):
    workers = launcher_workers(launcher, "cpu", 20)
    assert (workers.runs, workers.devices) == (runs, devices)
    assert workers.threads >= 1


def test_a_run_alone_has_all_threads():
    launcher = {"_target_": "hydra_plugins.a.b.LocalLauncher", "n_jobs": "auto"}
    assert launcher_workers(launcher, "cpu", 1) == Workers(1, 1, len(os.sched_getaffinity(0)))
