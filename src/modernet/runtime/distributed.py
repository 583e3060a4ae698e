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
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        values = (environ.get(name, default) for name, default in zip(names, "0101", strict=True))
        return DistributedEnv(*map(int, values))
    if int(environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:  # set by srun alone, not in a batch script around it
        rank, world_size, local_rank = (
            int(environ[f"SLURM_{name}"]) for name in ("PROCID", "STEP_NUM_TASKS", "LOCALID")
        )
        tasks = re.match(r"\d+", environ.get("SLURM_STEP_TASKS_PER_NODE", ""))  # 8(x2),4
        return DistributedEnv(rank, world_size, local_rank, int(tasks[0]) if tasks else 1)
    return DistributedEnv()


def rendezvous(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """MASTER_ADDR and MASTER_PORT, as they are set or derived from Slurm's variables."""
    names = ("MASTER_ADDR", "MASTER_PORT")
    if all(name in environ for name in names):
        return {name: environ[name] for name in names}
    host = re.match(r"([^\[,]+)(?:\[(\d+))?", environ["SLURM_STEP_NODELIST"])  # node[01-04,07] -> node01
    assert host is not None, environ["SLURM_STEP_NODELIST"]
    number = 7 * int(environ["SLURM_JOB_ID"]) + int(environ["SLURM_STEP_ID"])
    return {"MASTER_ADDR": host[1] + (host[2] or ""), "MASTER_PORT": str(20_000 + number % 20_000)}


@dataclass(frozen=True)
class BatchLayout:
    """How a global batch is split over processes and, in each process, over accumulated micro-batches."""

    env: DistributedEnv
    micro_batch_size: int  # images per forward-backward pass of a process
    grad_accum_steps: int  # forward-backward passes per optimizer step

    @property
    def batch_size(self) -> int:
        """Images per optimizer step, over all processes."""
        return self.env.world_size * self.micro_batch_size * self.grad_accum_steps

    def micro_batches(self) -> list[slice]:
        """The slices of a global batch that this process takes, one per micro-batch."""
        first = self.env.rank * self.micro_batch_size * self.grad_accum_steps
        starts = [first + number * self.micro_batch_size for number in range(self.grad_accum_steps)]
        return [slice(start, start + self.micro_batch_size) for start in starts]

    def __str__(self) -> str:
        return (
            f"{self.batch_size} images per step = {self.env.world_size} device(s) x {self.micro_batch_size} images "
            f"x {self.grad_accum_steps} accumulated"
        )


def batch_layout(env: DistributedEnv, batch_size: int, micro_batch_size: int | None) -> BatchLayout:
    """Raises UserError where the batch cannot be split evenly."""
    size = micro_batch_size or max(batch_size // env.world_size, 1)
    grad_accum_steps = batch_size // (env.world_size * size)
    if grad_accum_steps == 0 or env.world_size * size * grad_accum_steps != batch_size:
        raise UserError(
            f"recipe.batch_size={batch_size} must be a multiple of {env.world_size} device(s) x "
            f"micro_batch_size={size}, so that every step sees the same number of images"
        )
    return BatchLayout(env, size, grad_accum_steps)
