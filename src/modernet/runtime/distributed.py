"""This process among those that train together, as torchrun or Slurm started it, and its part of every batch."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from modernet.errors import UserError


@dataclass(frozen=True)
class DistributedEnv:
    """Rank and world size. A single process is rank 0 of 1."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0  # rank among the processes of this node
    local_world_size: int = 1

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0


def distributed_env(environ: Mapping[str, str] = os.environ) -> DistributedEnv:
    """Read torchrun's or srun's environment variables."""
    if "RANK" in environ and "WORLD_SIZE" in environ:
        return DistributedEnv(
            rank=int(environ["RANK"]),
            world_size=int(environ["WORLD_SIZE"]),
            local_rank=int(environ.get("LOCAL_RANK", 0)),
            local_world_size=int(environ.get("LOCAL_WORLD_SIZE", 1)),
        )
    if int(environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:  # set by srun alone, not in a batch script around it
        tasks = re.match(r"\d+", environ.get("SLURM_STEP_TASKS_PER_NODE", ""))  # 8(x2),4
        return DistributedEnv(
            rank=int(environ["SLURM_PROCID"]),
            world_size=int(environ["SLURM_STEP_NUM_TASKS"]),
            local_rank=int(environ["SLURM_LOCALID"]),
            local_world_size=int(tasks[0]) if tasks else 1,
        )
    return DistributedEnv()


def is_torchrun(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun is the parent of this process."""
    return "TORCHELASTIC_RUN_ID" in environ


def rendezvous_address(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """MASTER_ADDR and MASTER_PORT, as they are set or derived from Slurm's variables; UserError without either."""
    names = ("MASTER_ADDR", "MASTER_PORT")
    if all(name in environ for name in names):
        return {name: environ[name] for name in names}
    if "SLURM_STEP_NODELIST" not in environ:
        raise UserError(
            "RANK and WORLD_SIZE are set, MASTER_ADDR and MASTER_PORT are not; start the processes with torchrun or "
            "srun, or set all four"
        )
    host = re.match(r"([^\[,]+)(?:\[(\d+))?", environ["SLURM_STEP_NODELIST"])  # node[01-04,07] -> node01
    assert host is not None, environ["SLURM_STEP_NODELIST"]
    number = 7 * int(environ["SLURM_JOB_ID"]) + int(environ["SLURM_STEP_ID"])
    return {"MASTER_ADDR": host[1] + (host[2] or ""), "MASTER_PORT": str(20_000 + number % 20_000)}


@dataclass(frozen=True)
class MicroBatch:
    """One forward-backward pass: a slice of the global batch, with a number that no other slice of the step has."""

    number: int  # in the global batch, from 0; draws are seeded with it, so the devices do not change them
    indices: slice


@dataclass(frozen=True)
class BatchLayout:
    """How the micro-batches of a global batch are divided over processes and accumulation steps."""

    env: DistributedEnv
    micro_batch_size: int  # images per forward-backward pass
    grad_accum_steps: int  # forward-backward passes of each process per optimizer step

    @property
    def batch_size(self) -> int:
        """Images per optimizer step, over all processes."""
        return self.env.world_size * self.micro_batch_size * self.grad_accum_steps

    @property
    def micro_batches_per_step(self) -> int:
        """Micro-batches of a global batch, over all processes."""
        return self.env.world_size * self.grad_accum_steps

    def seed_number(self, step: int, micro_batch: MicroBatch) -> int:
        """Number of a micro-batch in an epoch, over all processes; the same on any number of devices."""
        return step * self.micro_batches_per_step + micro_batch.number

    def micro_batches(self) -> list[MicroBatch]:
        """The micro-batches of this process."""
        first, size = self.env.rank * self.grad_accum_steps, self.micro_batch_size
        numbers = range(first, first + self.grad_accum_steps)
        return [MicroBatch(number, slice(number * size, (number + 1) * size)) for number in numbers]

    def __str__(self) -> str:
        return (
            f"{self.batch_size} images per step = {self.env.world_size} device(s) x {self.micro_batch_size} images "
            f"x {self.grad_accum_steps} accumulated"
        )


def batch_layout(env: DistributedEnv, batch_size: int, micro_batch_size: int | None) -> BatchLayout:
    """The layout of the recipe's batches on these processes.

    Raises UserError where the micro-batches do not divide evenly: another size would be another experiment.
    """
    size = micro_batch_size or batch_size
    if batch_size % size:
        raise UserError(f"recipe.batch_size={batch_size} must be a multiple of recipe.micro_batch_size={size}")
    if (batch_size // size) % env.world_size:
        raise UserError(
            f"recipe.batch_size={batch_size} has {batch_size // size} micro-batch(es) of {size} images, which "
            f"{env.world_size} devices cannot divide evenly; {_suggest_layout(batch_size, env.world_size)}"
        )
    return BatchLayout(env, size, batch_size // size // env.world_size)


def _suggest_layout(batch_size: int, world_size: int) -> str:
    largest = batch_size // world_size
    if batch_size % world_size or largest < 2:
        return f"use a number of devices that divides {batch_size}"
    return (
        f"recipe.micro_batch_size={largest}, or a divisor of it, would fit (it decides the result: runs with another "
        "micro-batch size are other runs)"
    )
