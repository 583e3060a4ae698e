"""Which device a run is trained on, how many CPUs this process may use, and how it keeps memory."""

import ctypes
import os
import shlex
import shutil
import sys
from importlib.util import find_spec
from typing import Any

import torch

from modernet.errors import UserError
from modernet.runtime.distributed import distributed_env, is_torchrun
from modernet.runtime.logging import is_sweep_worker

MIN_CAPABILITY = (7, 0)  # of Triton
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def select_device(name: str, local_rank: int = 0, local_world_size: int = 1) -> torch.device:
    """The torch device of this name, made the current one; `auto` is an accelerator if there is one.

    Of several visible GPUs a process takes that of its local rank; a process that sees one GPU (Slurm's
    --gpus-per-task) takes that one, unless torchrun started several processes, which then have one GPU in common.
    Raises UserError for a device that torch does not know or the machine lacks, and on every process of a node that has
    fewer GPUs than processes.
    """
    if name == "auto":
        name = str(torch.accelerator.current_accelerator(check_available=True) or "cpu")
    if name == "cuda":
        name = f"cuda:{_gpu_index(local_rank, local_world_size)}"
    try:
        device = torch.device(name)
        if device.type == "cuda":
            torch.cuda.set_device(device)  # first: nccl, streams and events use the current device
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"device={name} cannot be used ({reason}); allowed: auto, cpu, or an accelerator of this machine"
        ) from error
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # as in the authors' code
        torch.backends.cudnn.allow_tf32 = False  # amp=off is float32 in convolutions, as it is in linear layers
    return device


def missing_for_compile(device: torch.device) -> str | None:
    """What torch.compile needs on this device and does not find; None where it finds all."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        return "a GPU of compute capability 7.0 or more"
    if device.type == "cuda" and find_spec("triton") is None:
        return "the package triton"
    if sys.platform == "win32":  # has a search of its own
        return None
    variable, usual = ("CC", ("gcc", "clang", "cc")) if device.type == "cuda" else ("CXX", ("g++", "clang++"))
    compilers = shlex.split(os.environ[variable])[:1] if variable in os.environ else usual
    if not any(map(shutil.which, compilers)):
        return f"a compiler ({', '.join(compilers)})"
    return None


def set_deterministic(enabled: bool) -> None:
    """Whether GPUs compute with kernels that give the same bits every time; for this process, before its first kernel.

    torch raises RuntimeError in training where there is no such kernel. CPUs need nothing of it.
    """
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS needs it, and torch asks for it
        torch.backends.cudnn.benchmark = False  # it would choose kernels by their speed in this process
    torch.use_deterministic_algorithms(enabled)
    fill: Any = torch.utils.deterministic
    fill.fill_uninitialized_memory = False  # no layer reads what nothing wrote


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step, instead of giving it back to the kernel; for this process.

    Else most activations are new memory in each step, with a page fault per 4 KiB. Other C libraries stay as they are.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


def _gpu_index(local_rank: int, local_world_size: int) -> int:
    visible = torch.cuda.device_count()
    if visible == 0 or (visible == 1 and not is_torchrun()):
        return 0
    processes = max(local_world_size, local_rank + 1)
    if processes > visible:
        raise UserError(f"{processes} processes were started on a machine with {visible} GPU(s); start one per GPU")
    return local_rank


def device_name(device: torch.device) -> str:
    """The record's name of the device: `cpu`, or the GPU's product name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def sum_dtype(device: torch.device) -> torch.dtype:
    """The dtype of sums over an epoch: float64, or float32 where the device has none (Apple's GPUs)."""
    return torch.float32 if device.type == "mps" else torch.float64


def available_cpus() -> int:
    """CPUs that this process may use: its affinity, its cgroup's quota, and in a joblib sweep its fraction of them."""
    import joblib  # only data sets of files need it

    cpus = joblib.cpu_count()
    return min(cpus, torch.get_num_threads()) if is_sweep_worker() and distributed_env().world_size == 1 else cpus
