"""Collectives for distributed training; no-ops in a single process."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous

from modernet.errors import ConnectionLost, Interrupted, LocalMistake, RunLocked, UserError
from modernet.runtime.distributed import DistributedEnv, rendezvous_address

TIMEOUT = timedelta(minutes=30)  # ranks may drift apart by this much: slow file systems, evaluation
FAILURE_TIMEOUT = timedelta(seconds=10)  # for an error that all ranks meet, in the same step

_cpu_group: Any = None  # a gloo group; its collectives never wait for a GPU
_group_store: Any = None  # where the ranks of the group meet without a collective


@contextmanager
def process_group(env: DistributedEnv, device: torch.device) -> Iterator[None]:
    """Join the process group: nccl on GPUs, else gloo. Raises ConnectionLost where an earlier run's group is left."""
    global _cpu_group, _group_store
    if env.world_size == 1:
        yield
        return
    _group_store = _next_store(env)
    on_gpu = device.type == "cuda"
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=_group_store,
        rank=env.rank,
        world_size=env.world_size,
        timeout=TIMEOUT,
        device_id=device if on_gpu else None,
    )
    _cpu_group = distributed.new_group(backend="gloo", timeout=TIMEOUT)
    try:
        yield
    except BaseException as error:
        has_left, _cpu_group = _cpu_group is None, None
        # Every rank raises these, so the next run of a sweep can form its group, and no rank that ends meets the closed
        # connections of one that has ended. After all others a peer may be dead or behind, and nccl would wait for it.
        is_common = isinstance(error, UserError | RunLocked | Interrupted) and not isinstance(error, LocalMistake)
        if is_common and not has_left:
            distributed.destroy_process_group()
        raise
    if _cpu_group is not None:
        _cpu_group = None
        distributed.destroy_process_group()


def exchange(env: DistributedEnv, message: str) -> list[str]:
    """The message of each rank, in the order of ranks, while there is no process group."""
    store = _next_store(env)
    store.set(f"message{env.rank}", message)
    messages = [store.get(f"message{rank}").decode() for rank in range(env.world_size)]
    store.set(f"read{env.rank}", "")
    if env.is_main_process:  # the store may end with it
        store.wait([f"read{rank}" for rank in range(env.world_size)], TIMEOUT)
    return messages


def leave_unless_all_fail() -> None:
    """Call it after an unexpected error: where the other ranks do not, this one leaves them, and waits for none.

    They wait in a collective for this rank, until its process ends.
    """
    global _cpu_group
    if _cpu_group is None:
        return
    ranks = range(distributed.get_world_size())
    _group_store.set(f"failed{distributed.get_rank()}", "")
    try:
        _group_store.wait([f"failed{rank}" for rank in ranks], FAILURE_TIMEOUT)
    except distributed.DistError:
        _cpu_group = None


def _next_store(env: DistributedEnv) -> Any:
    """Where the processes meet the next time, which they and the processes before a restart by torchrun never used.

    On several nodes torchrun counts restarts by node, so a restart may fail there, and the same command resumes. Raises
    ConnectionLost where an earlier run's group is left.
    """
    if distributed.is_initialized():
        raise ConnectionLost(
            "an earlier run of this sweep ended on some of its processes only; rerun the same command to resume"
        )
    os.environ.update(rendezvous_address())
    store, numbers = _store(os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"], env)
    prefix = f"restart{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}-{next(numbers)}"
    return distributed.PrefixStore(prefix, store)  # pyright: ignore[reportPrivateImportUsage]


@cache
def _store(address: str, port: str, env: DistributedEnv) -> tuple[Any, Iterator[int]]:
    """The store of all meetings of this process, and their numbers. Raises UserError where its port is in use.

    It lives as long as the process. With a store for each group, rank 0 would close that of one run while a rank that
    is ahead of it joins the same one for the next run, and waits there.
    """
    try:
        store, *_ = next(rendezvous("env://", env.rank, env.world_size, timeout=TIMEOUT))
    except distributed.DistNetworkError as error:
        if "EADDRINUSE" not in str(error):
            raise
        raise UserError(f"MASTER_PORT={port} of {address} is in use; name another port") from error
    return store, count()


COMMUNICATION_ERROR = re.compile(r"gloo|nccl|connection (reset|closed|refused)|broken pipe|process group", re.I)


def is_communication_error(error: BaseException) -> bool:
    """Whether a collective failed because another rank is gone."""
    if isinstance(error, distributed.DistError):
        return True
    is_distributed = distributed.is_available() and distributed.is_initialized()  # an error leaves it initialized
    return is_distributed and isinstance(error, RuntimeError) and bool(COMMUNICATION_ERROR.search(str(error)))


def all_reduce_max(value: int) -> int:
    """The largest value of all ranks. Runs on the CPU, so no GPU is waited for."""
    if _cpu_group is None:
        return value
    values = torch.tensor(value)
    distributed.all_reduce(values, distributed.ReduceOp.MAX, group=_cpu_group)
    return int(values)


def any_rank(condition: object) -> bool:
    """Whether the condition is true on any rank."""
    return bool(all_reduce_max(int(bool(condition))))


def barrier() -> None:
    """Wait until every rank has come here."""
    all_reduce_max(0)


def all_gather(value: Any) -> list[Any]:
    """The value of each rank, in the order of ranks; of plain Python values."""
    if _cpu_group is None:
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value, group=_cpu_group)
    return values


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum over all ranks, as a new tensor."""
    if _cpu_group is None:
        return values
    values = values.clone()
    distributed.all_reduce(values)
    return values


def broadcast_buffers(model: nn.Module) -> None:
    """Copy rank 0's buffers (BatchNorm statistics) to all ranks; rank 0 alone saves them."""
    if _cpu_group is not None:
        for buffer in model.buffers():
            distributed.broadcast(buffer, 0)
