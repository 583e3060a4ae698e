"""Runs of several processes, of which one gets a signal: of torchrun, of a joblib sweep, of wandb."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials import images
from trials.processes import EVERYTHING, descendants_of, differences, leftovers, outcome, remove
from trials.trial import Trial

REPETITIONS = 4  # of each signal of each target, which takes half a minute
FEW = {"wandb"}  # targets of the short form, once; test_orphans.py has torchrun and joblib
ORPHANS_END = 10  # seconds
MAX_SECONDS = 300  # of a command
VARIABLE = "MODERNET_TRIAL"
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
SWEEP = ("-m", "seed=0,1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
BOTH = (signal.SIGKILL, signal.SIGTERM)


@dataclass(frozen=True)
class Target:
    """The process of a command that gets a signal."""

    name: str
    command: Sequence[str]
    signals: Sequence[signal.Signals] = BOTH
    mark: bytes | None = None  # in the command line of the process; None for the command itself
    variable: bytes | None = None  # in its environment

    def find(self, process: subprocess.Popen[str], token: str) -> list[int]:
        """Ids of the living processes that it may be."""
        if self.mark is None:
            return [process.pid] if process.poll() is None else []
        return [pid for pid in descendants_of(VARIABLE, token) if self._is_meant(Path(f"/proc/{pid}"))]

    def _is_meant(self, folder: Path) -> bool:
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            return (self.mark or b"") in (folder / "cmdline").read_bytes() and self.variable in (None, *variables)
        except OSError:  # it has just ended
            return False


def _targets(folder: Path) -> Iterator[Target]:
    """Commands; that of torchrun reads image files from below the folder, with worker processes of both ranks."""
    run, of_files = [*EVERYTHING, "wandb=offline"], [*images.write_everything(folder / "images"), "wandb=offline"]
    yield Target("wandb", [sys.executable, "train.py", *run], BOTH[:1], b"wandb-core")
    yield Target("torchrun", [*TORCHRUN, "train.py", *of_files])
    yield Target("a rank of torchrun", [*TORCHRUN, "train.py", *run], BOTH, b"train.py", b"WORLD_SIZE=2")
    yield Target("joblib", [sys.executable, "train.py", *SWEEP, *run])


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """Nothing lives on for ten seconds, and the same command gives the results of a run that nothing stopped."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="modernet-") as name:
        references: dict[tuple[str, ...], tuple[float, dict[str, Any]]] = {}
        for target in (target for target in _targets(Path(name)) if target.name in FEW or not short):
            folder, command = Path(name) / target.name, tuple(target.command)
            if command not in references:
                began = time.monotonic()
                status = call(command, folder / "whole")
                references[command] = time.monotonic() - began, outcomes(folder / "whole")
                whole = Trial("a command that nothing stops", status == 0 and len(references[command][1]) > 0)
                yield whole._replace(detail=f"{target.name}: status {status}, {folder}")
                if not whole.held:
                    return
            for number in BOTH[:1] if short else target.signals:
                for repetition in range(1 if short else REPETITIONS):
                    here = folder / f"{number.name}-{repetition}"
                    yield from _stop(target, number, here, rng, *references[command])


def start_command(command: Sequence[str], runs: Path, token: str) -> subprocess.Popen[str]:
    """Start a command on a folder of runs, which gets its output; its processes have the token in VARIABLE."""
    runs.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", VARIABLE: token}
    with (runs / "output").open("a") as output:
        return subprocess.Popen([*command, f"runs={runs}"], env=environment, stdout=output, stderr=output, text=True)


def wait_for_end(process: subprocess.Popen[str], token: str) -> int | None:
    """The status; a command that does not end is killed with all its processes and has the status None."""
    try:
        return process.wait(MAX_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        _kill_all(descendants_of(VARIABLE, token))
        return None


def _kill_all(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGKILL)


def call(command: Sequence[str], runs: Path) -> int | None:
    """The status of a command on a folder of runs."""
    token = uuid.uuid4().hex
    return wait_for_end(start_command(command, runs, token), token)


def outcomes(runs: Path) -> dict[str, dict[str, Any]]:
    """Folder of a run -> its outcome, of all finished runs."""
    return {path.parent.name: outcome(path.parent) for path in runs.glob("*/*/record.json")}


def _signal(
    target: Target, number: signal.Signals, process: subprocess.Popen[str], token: str, rng: random.Random
) -> bool:
    """Send the signal as soon as there is such a process; False where the command has ended."""
    end = time.monotonic() + MAX_SECONDS
    while process.poll() is None and time.monotonic() < end:
        if pids := target.find(process, token):
            try:
                os.kill(rng.choice(pids), number)
            except ProcessLookupError:  # it has just ended
                continue
            return True
        time.sleep(0.05)
    return False


def _stop(
    target: Target,
    number: signal.Signals,
    runs: Path,
    rng: random.Random,
    seconds: float,
    reference: dict[str, dict[str, Any]],
) -> Iterator[Trial]:
    token, was_sent, delay = "", False, 0.0
    while not was_sent:  # a command that has ended before is started again, and gets the signal earlier
        remove(runs)
        token, delay = uuid.uuid4().hex, rng.uniform(0, delay or seconds)
        process = start_command(target.command, runs, token)
        time.sleep(delay)
        was_sent = _signal(target, number, process, token, rng)
        wait_for_end(process, token)
    what, detail = f"{number.name} of {target.name}", f"after {delay:.1f} s, {runs}"
    left: list[int] = []
    for _ in range(10 * ORPHANS_END):
        if not (left := descendants_of(VARIABLE, token)):
            break
        time.sleep(0.1)
    yield Trial(f"{what}: nothing lives on for {ORPHANS_END} s", not left, f"{len(left)} left {detail}")
    _kill_all(left)
    status = call(target.command, runs)
    faults = [f"status {status}"] if status else []
    faults += list(find_faults(runs, reference))
    yield Trial(f"{what}: the same command gives the same result", not faults, f"{'; '.join(faults)} {detail}")
    if not faults:
        remove(runs)


def find_faults(runs: Path, reference: dict[str, dict[str, Any]]) -> Iterator[str]:
    """How the finished runs differ from the reference."""
    names = {path.parent.name for path in runs.glob("*/*/record.json")}
    if names != reference.keys():
        yield f"records of {sorted(names)}"
    for name in names & reference.keys():
        (folder,) = runs.glob(f"*/{name}")
        yield from filter(None, [differences(folder, reference[name])])
        yield from leftovers(folder)
        ids = {path.name.rpartition("-")[2] for path in (folder / "wandb").glob("offline-run-*")}
        if len(ids) != 1:
            yield f"{len(ids)} wandb runs"
