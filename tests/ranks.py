"""Processes that train one run together, started as a user would start them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from helpers import ROOT

T = TypeVar("T")
Process = subprocess.Popen[str]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
PATIENCE = 300  # seconds; a process that hangs fails its test, a slow machine does not


def start(command: Sequence[object], **environment: str) -> Process:
    """Start a process in a new process group, as a shell does."""
    return subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def start_ranks(
    arguments: Sequence[object], world_size: int = 2, of_rank: Sequence[object] = (), script: object = "train.py"
) -> list[Process]:
    """A script in each of several processes, without a launcher that ends the others when one dies.

    `of_rank` has a further argument for each process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "WORLD_SIZE": world_size,
        "LOCAL_WORLD_SIZE": world_size,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    ranks = [common | {"RANK": rank, "LOCAL_RANK": rank} for rank in range(world_size)]
    command = (sys.executable, script, *arguments)
    words = [(*command, argument) for argument in of_rank] or [command] * world_size
    return [
        start(own, **{name: str(value) for name, value in rank.items()}) for own, rank in zip(words, ranks, strict=True)
    ]


def end(process: Process, seconds: float = PATIENCE) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a process, which must end in this time."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()  # closes its pipes, which would fail a later test as unclosed files
        raise
    return process.returncode, out, err


def wait_for(condition: Callable[[], T | None], process: Process, seconds: float = PATIENCE) -> T:
    """The condition's value as soon as it is true, while the process runs."""
    for _ in range(int(seconds / 0.005)):
        if value := condition():
            return value
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    raise AssertionError(f"it did not happen in {seconds} seconds")


def wait_for_step(runs: Path, step: int, process: Process) -> Path:
    """The folder of the run below `runs` once it has a checkpoint of this step or a later one."""

    def folder() -> Path | None:
        paths = list(runs.rglob("checkpoint-*.pt"))
        return paths[0].parent if any(int(path.name.split("-")[1]) >= step for path in paths) else None

    return wait_for(folder, process)


def children(pid: int) -> list[int]:
    """Process ids of the children of a process (Linux)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def environment_of(pid: int) -> dict[str, str]:
    """Environment variables of a process (Linux)."""
    words = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)
