"""This process among those that train together: torchrun or Slurm starts them, the environment says which one it is."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from modernet.errors import UserError


@dataclass(frozen=True)
class Place:
    """Rank `rank` of `world` processes, `local` on its node. A process by itself is rank 0 of 1."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0


def read_environment(environment: Mapping[str, str] = os.environ) -> Place:
    """The place that torchrun's or Slurm's variables name."""
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return Place(*(int(environment.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:  # set by srun alone, not in a batch script around it
        return Place(*(int(environment[f"SLURM_{name}"]) for name in ("PROCID", "STEP_NUM_TASKS", "LOCALID")))
    return Place()


def meeting_point(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables by which the processes find each other: as they are set, or else from Slurm's."""
    names = ("MASTER_ADDR", "MASTER_PORT")
    if all(name in environment for name in names):
        return {name: environment[name] for name in names}
    host = re.match(r"([^\[,]+)(?:\[(\d+))?", environment["SLURM_STEP_NODELIST"])  # node[01-04,07] -> node01
    assert host is not None, environment["SLURM_STEP_NODELIST"]
    number = 7 * int(environment["SLURM_JOB_ID"]) + int(environment["SLURM_STEP_ID"])
    return {"MASTER_ADDR": host[1] + (host[2] or ""), "MASTER_PORT": str(20_000 + number % 20_000)}


@dataclass(frozen=True)
class Share:
    """How a batch is divided: over the processes, and in each of them over passes that are accumulated."""

    place: Place
    device_batch: int  # images of one pass
    passes: int  # forward-backward passes a step

    @property
    def batch(self) -> int:
        return self.place.world * self.device_batch * self.passes

    def slices(self) -> list[slice]:
        """Of a batch, what this process takes in each of its passes."""
        begin = self.place.rank * self.device_batch * self.passes
        starts = [begin + number * self.device_batch for number in range(self.passes)]
        return [slice(start, start + self.device_batch) for start in starts]

    def __str__(self) -> str:
        devices = self.place.world
        return f"{self.batch} images a step = devices {devices} x per device {self.device_batch} x passes {self.passes}"


def share_of(place: Place, batch: int, device_batch: int | None) -> Share:
    """Raises UserError where a batch cannot be divided that way without a rest."""
    one = device_batch or max(batch // place.world, 1)
    passes = batch // (place.world * one)
    if passes == 0 or place.world * one * passes != batch:
        raise UserError(
            f"recipe.batch_size={batch} must be a multiple of {place.world} devices x device_batch={one}, "
            f"so that every step sees as many images"
        )
    return Share(place, one, passes)
