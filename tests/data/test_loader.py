"""build_loader: number of classes from the files, and number of workers from the CPUs."""

import os

import pytest
import torch
from helpers import data_config, recipe_config
from image_files import files_config

from modernet.data import loader
from modernet.data.loader import auto_num_workers, build_loader
from modernet.runtime.device import available_cpus
from modernet.runtime.distributed import DistributedEnv, batch_layout


def num_workers_of(data, env: DistributedEnv | None = None) -> int:
    layout = batch_layout(env or DistributedEnv(), 8, 4)
    return build_loader(data, recipe_config("modern"), 0, layout, torch.device("cpu"), "auto").num_workers


def test_labels_have_the_number_of_classes_of_the_files(image_folder):
    layout = batch_layout(DistributedEnv(), 8, None)
    data = files_config("folder", image_folder)
    assert data.num_classes is None
    built = build_loader(data, recipe_config("modern"), 0, layout, torch.device("cpu"), 0)
    _, labels = next(iter(built.train_batches(0)))
    assert labels.shape == (8, 2)


@pytest.mark.parametrize(
    ("cpus", "local_world_size", "num_workers"), [(1, 1, 1), (4, 1, 4), (64, 1, 8), (64, 16, 4), (2, 8, 1)]
)
def test_auto_num_workers_divides_the_cpus_among_local_ranks(monkeypatch, cpus, local_world_size, num_workers):
    monkeypatch.setattr(loader, "available_cpus", lambda: cpus)
    assert auto_num_workers(local_world_size) == num_workers


def test_auto_num_workers_of_srun_are_the_cpus_of_the_task(monkeypatch):
    monkeypatch.setattr(loader, "available_cpus", lambda: 6)
    assert auto_num_workers(8, {"SLURM_CPUS_PER_TASK": "6"}) == 6
    assert auto_num_workers(8, {"SLURM_CPUS_PER_TASK": "4"}) == 4
    assert auto_num_workers(2, {"SLURM_CPUS_PER_TASK": "6", "TORCHELASTIC_RUN_ID": "none"}) == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity, which this system lacks")
def test_available_cpus_respect_the_affinity():
    granted = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(granted)})
        assert available_cpus() == 1
    finally:
        os.sched_setaffinity(0, granted)


def test_available_cpus_of_a_sweep_worker_are_its_threads(monkeypatch):
    monkeypatch.setattr("modernet.runtime.device.is_sweep_worker", lambda: True)
    monkeypatch.setattr("joblib.cpu_count", lambda: 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert available_cpus() == 3
    monkeypatch.setenv("WORLD_SIZE", "2")  # torchrun sets one thread, and starts a process per device, not per CPU
    monkeypatch.setenv("RANK", "0")
    assert available_cpus() == 16


def test_num_workers_auto_is_zero_in_memory_and_divides_the_lanes_of_shards(monkeypatch, image_folder, shards):
    """With another number two workers would read the same shards."""
    monkeypatch.setattr(loader, "available_cpus", lambda: 6)
    assert num_workers_of(data_config("digits")) == 0
    assert num_workers_of(files_config("folder", image_folder)) == 6
    assert num_workers_of(files_config("folder", image_folder), DistributedEnv(0, 2, 0, 2)) == 3
    assert num_workers_of(files_config("shards", shards)) == 4
