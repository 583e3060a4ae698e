"""The device of each process. CUDA's calls are replaced, so that these tests need no GPU."""

import os
import sys

import pytest
import torch

from modernet.errors import UserError
from modernet.runtime.device import missing_for_compile, select_device, set_deterministic


@pytest.fixture
def gpus(monkeypatch):
    """Makes this a machine with N visible GPUs; returns the list of the calls that reach CUDA."""
    calls: list[str] = []

    def show(visible: int) -> list[str]:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: visible > 0)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda"))
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: calls.append(f"set_device {device}"))
        monkeypatch.setattr(torch, "empty", lambda *_, device: calls.append(f"empty {device}"))
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
        return calls

    return show


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_process_takes_the_gpu_of_its_local_rank_before_anything_else(gpus, name):
    calls = gpus(visible=8)
    assert select_device(name, local_rank=3, local_world_size=8) == torch.device("cuda:3")
    assert calls == ["set_device cuda:3", "empty cuda:3"]
    assert torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32


def test_process_with_one_visible_gpu_takes_it_whatever_its_local_rank(gpus):
    calls = gpus(visible=1)  # Slurm's --gpus-per-task
    assert select_device("auto", local_rank=3, local_world_size=8) == torch.device("cuda:0")
    assert calls[0] == "set_device cuda:0"


@pytest.mark.parametrize("local_rank", [0, 1, 2, 3])
def test_every_process_of_a_node_refuses_more_processes_than_gpus(gpus, local_rank):
    calls = gpus(visible=2)
    with pytest.raises(UserError, match=r"4 processes were started on a machine with 2 GPU\(s\); start one per GPU"):
        select_device("auto", local_rank, local_world_size=4)
    assert calls == []


def test_processes_of_torchrun_do_not_share_the_only_gpu(gpus, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    gpus(visible=1)
    with pytest.raises(UserError, match=r"2 processes were started on a machine with 1 GPU\(s\)"):
        select_device("auto", local_rank=1, local_world_size=2)
    assert select_device("auto", local_rank=0, local_world_size=1) == torch.device("cuda:0")


def test_named_gpu_is_taken_and_made_the_current_one(gpus):
    calls = gpus(visible=8)
    assert select_device("cuda:5", local_rank=0) == torch.device("cuda:5")
    assert calls[0] == "set_device cuda:5"


def test_machine_without_gpu_trains_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    assert select_device("auto", local_rank=3) == torch.device("cpu")


@pytest.mark.parametrize("name", ["abacus", "cuda:99"])
def test_device_that_is_not_there_is_refused(name):
    with pytest.raises(UserError, match=rf"device={name}.* cannot be used \(.*\); allowed: auto, cpu"):
        select_device(name)


def test_deterministic_kernels_are_chosen_for_this_process_and_the_next_run_may_choose_others(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    try:
        set_deterministic(True)
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert not torch.utils.deterministic.fill_uninitialized_memory  # pyright: ignore[reportAttributeAccessIssue]
    finally:
        set_deterministic(False)
    assert not torch.are_deterministic_algorithms_enabled()


def test_compiling_on_a_cpu_needs_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", sys.executable)
    assert missing_for_compile(torch.device("cpu")) is None
    monkeypatch.setenv("CXX", "/nowhere/g++")
    assert missing_for_compile(torch.device("cpu")) == "a compiler (/nowhere/g++)"


@pytest.mark.parametrize(
    ("capability", "has_triton", "compiler", "missing"),
    [
        ((9, 0), True, sys.executable, None),
        ((6, 1), True, sys.executable, "a GPU of compute capability 7.0 or more"),
        ((9, 0), False, sys.executable, "the package triton"),
        ((9, 0), True, "/nowhere/gcc", "a compiler (/nowhere/gcc)"),
    ],
)
def test_compiling_on_a_gpu_needs_triton_a_compiler_and_a_new_gpu(
    monkeypatch, capability, has_triton, compiler, missing
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr("modernet.runtime.device.find_spec", lambda name: has_triton or None)
    monkeypatch.setenv("CC", compiler)
    assert missing_for_compile(torch.device("cuda:0")) == missing
