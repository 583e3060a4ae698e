"""Which errors mean that something outside ended a run."""

import errno

import pytest
import torch
from helpers import short_experiment

from modernet.errors import ConnectionLost, DeviceFault, DiskFull, OutOfMemory, UserError
from modernet.training.interruption import explain_interruption, is_interruption

EXPERIMENT = short_experiment(batch_size=256)
WORKER = "DataLoader worker (pid 1) is killed by signal: "


@pytest.mark.parametrize("error", [RuntimeError(WORKER + "Killed. "), ConnectionResetError("by peer"), EOFError()])
def test_death_of_a_worker_is_a_lost_connection(tmp_path, error):
    message = r"another process of the run died .*; rerun the same command to resume"
    with pytest.raises(ConnectionLost, match=message), explain_interruption(tmp_path, EXPERIMENT):
        raise error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_names_the_last_good_checkpoint(tmp_path, number):
    with pytest.raises(DiskFull, match="last good checkpoint: none"), explain_interruption(tmp_path, EXPERIMENT):
        raise OSError(number, "full")


def test_a_folder_that_was_moved_is_named(tmp_path):
    folder = tmp_path / "run"
    message = f"{folder}, the folder of the run, was moved or deleted"
    with pytest.raises(UserError, match=message), explain_interruption(folder, EXPERIMENT):
        (folder / "steps.jsonl").read_text()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError("Unable to allocate 2.00 GiB for an array"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),  # of a fork
    ],
)
def test_missing_memory_names_the_batch_and_what_to_try(tmp_path, error):
    message = (
        r"^not enough memory for batches of 256 images of 8 px \(.*\); .*amp=bf16.*recipe.micro_batch_size; .*: none$"
    )
    with pytest.raises(OutOfMemory, match=message), explain_interruption(tmp_path, EXPERIMENT):
        raise error


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


BUS_ERROR = RuntimeError(WORKER + "Bus error. It is possible that dataloader's workers are out of shared memory. ")


@pytest.mark.parametrize(
    "error",
    [
        BUS_ERROR,
        caused(RuntimeError("DataLoader worker (pid(s) 1) exited unexpectedly"), BUS_ERROR),
        RuntimeError("Caught RuntimeError in DataLoader worker process 0.\nunable to allocate shared memory(shm)"),
    ],
)
def test_full_shared_memory_names_the_file_system_and_the_workers(tmp_path, error):
    assert is_interruption(error)
    message = r"^not enough shared memory .*/dev/shm.*num_workers; last good checkpoint: none$"
    with pytest.raises(OutOfMemory, match=message), explain_interruption(tmp_path, EXPERIMENT):
        raise error


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: unspecified launch failure",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_failure_of_a_gpu_says_nothing_about_the_run(tmp_path, message):
    assert is_interruption(RuntimeError(message))
    with (
        pytest.raises(DeviceFault, match=r"^the GPU failed.*resume, on another"),
        explain_interruption(tmp_path, EXPERIMENT),
    ):
        raise RuntimeError(message)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a mistake"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: invalid argument"),
        FileNotFoundError("no such file"),
        RuntimeError(WORKER + "Segmentation fault. "),
        ConnectionResetError("Caught ConnectionResetError in DataLoader worker process 0."),
    ],
)
def test_errors_of_the_run_itself_are_raised_unchanged(tmp_path, error):
    assert not is_interruption(error)
    with pytest.raises(type(error)) as raised, explain_interruption(tmp_path, EXPERIMENT):
        raise error
    assert raised.value is error
