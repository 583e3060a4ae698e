"""Runs of several processes, of which one is killed: of torchrun, of a joblib sweep, of wandb."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trials.processes import EVERYTHING, descendants_of, differences, leftovers, outcome, remove
from trials.trial import Trial

REPETITIONS, FEW = 10, 1
ORPHANS_END = 10  # seconds
VARIABLE = "MODERNET_TRIAL"
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
SWEEP = ("-m", "seed=0,1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """Nothing lives on for ten seconds, and the same command gives the results of a run that nothing stopped."""
    rng, repetitions = random.Random(seed), FEW if short else REPETITIONS
    with tempfile.TemporaryDirectory(prefix="modernet-") as name:
        for kind, command in _commands().items():
            folder = Path(name) / kind
            began = time.monotonic()
            _call(command, folder / "whole", "")
            seconds = time.monotonic() - began
            reference = _outcomes(folder / "whole")
            for number in range(repetitions):
                delay = rng.uniform(seconds / 3, seconds)
                yield from _kill(kind, command, folder / str(number), delay, rng, reference)


def _commands() -> dict[str, list[str]]:
    run = [*EVERYTHING, "wandb=offline"]
    alone = [sys.executable, "train.py", *run]
    return {
        "wandb": alone,
        "torchrun": [*TORCHRUN, "train.py", *run],
        "a rank of torchrun": [*TORCHRUN, "train.py", *run],
        "joblib": [sys.executable, "train.py", *SWEEP, *run],
    }


def _start(command: Sequence[str], runs: Path, token: str) -> subprocess.Popen[str]:
    runs.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", VARIABLE: token}
    with (runs / "output").open("a") as output:
        return subprocess.Popen([*command, f"runs={runs}"], env=environment, stdout=output, stderr=output, text=True)


def _call(command: Sequence[str], runs: Path, token: str) -> int:
    return _start(command, runs, token).wait()


def _outcomes(runs: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: outcome(path.parent) for path in runs.glob("*/*/record.json")}


def _victims(kind: str, process: subprocess.Popen[str], token: str) -> list[int]:
    if kind == "wandb":
        return [
            pid for pid in descendants_of(VARIABLE, token) if b"wandb-core" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
    if kind == "a rank of torchrun":
        words = {pid: Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in descendants_of(VARIABLE, token)}
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in words}
        return [pid for pid, word in words.items() if b"WORLD_SIZE=2" in word and b"train.py" in commands[pid]]
    return [process.pid]


def _kill(
    kind: str, command: list[str], runs: Path, delay: float, rng: random.Random, reference: dict[str, dict[str, Any]]
) -> Iterator[Trial]:
    token, detail = uuid.uuid4().hex, f"after {delay:.1f} s, {runs}"
    process = _start(command, runs, token)
    time.sleep(delay)
    try:
        if victims := _victims(kind, process, token):
            os.kill(rng.choice(victims), signal.SIGKILL)
    except OSError:  # it has just ended
        pass
    if kind != "wandb":  # whose end ends nothing
        process.wait()
        left = descendants_of(VARIABLE, token)
        for _ in range(10 * ORPHANS_END):
            if not (left := descendants_of(VARIABLE, token)):
                break
            time.sleep(0.1)
        yield Trial(f"SIGKILL of {kind}: nothing lives on for {ORPHANS_END} s", not left, f"{len(left)} left {detail}")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    else:
        process.wait()
    status = _call(command, runs, token)
    faults = [f"status {status}"] if status else []
    faults += [f"{len(_outcomes(runs))} records"] if _outcomes(runs).keys() != reference.keys() else []
    for name, expected in reference.items():
        (folder,) = runs.glob(f"*/{name}") if list(runs.glob(f"*/{name}")) else (runs,)
        faults += [fault for fault in (differences(folder, expected),) if fault]
        faults += leftovers(folder)
        ids = {path.name.rpartition("-")[2] for path in (folder / "wandb").glob("offline-run-*")}
        faults += [f"{len(ids)} wandb runs"] if len(ids) != 1 else []
    yield Trial(
        f"SIGKILL of {kind}: the same command gives the same result", not faults, f"{'; '.join(faults)} {detail}"
    )
    if not faults:
        remove(runs)
