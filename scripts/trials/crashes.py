"""Runs that are killed: at random moments, inside each write, with two processes, in a sweep."""

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials import images
from trials.processes import (
    EVERYTHING,
    Command,
    differences,
    leftovers,
    outcome,
    remove,
    run,
    run_folder,
    start,
)
from trials.trial import Trial

KILLS_PER_RUN = 4
# How many signals runs of random images get, and how many those of image files with worker processes.
KILLS = {signal.SIGKILL: (70, 30), signal.SIGTERM: (35, 15)}
FEW = {signal.SIGKILL: (3, 1), signal.SIGTERM: (1, 1)}
FILES = ("checkpoint-", "metrics.jsonl", "steps.jsonl", "model.pt", "record.json", "config.yaml", "run.json")
MOMENTS = ("half written", "before the rename", "after the rename")
CALLS = ("log_steps", "log_epoch", "log_result", "close")


@dataclass(frozen=True)
class Whole:
    """A run that nothing stopped."""

    words: tuple[str, ...]
    seconds: float
    reference: dict[str, Any]

    def start(self, folder: Path, **options: Any) -> Command:
        """Start the same run in another folder."""
        return start(folder, "train", *self.words, "wandb=offline", f"runs={folder / 'runs'}", **options)


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """Every run ends bit-identical to one that nothing stopped, with one wandb run, and leaves nothing behind."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="modernet-") as name:
        folder = Path(name)
        run(folder / "warm", "table", folder)  # the fork server imports, which takes longer than a run
        runs = _train_whole(folder / "whole", EVERYTHING)
        of_files = _train_whole(folder / "whole-files", images.write_everything(folder / "images"))
        for number, counts in (FEW if short else KILLS).items():
            what = f"{number.name} at a random moment"
            yield from _random_moments(what, folder / number.name, number, counts[0], runs, rng)
            what += " of a run with image files, worker processes and data.on_error=skip"
            yield from _random_moments(what, folder / f"{number.name}-files", number, counts[1], of_files, rng)
        files, calls = (FILES[:1], CALLS[:1]) if short else (FILES, CALLS)
        for file in files:
            for moment in MOMENTS:
                yield _inside_write(folder / "write", file, moment, runs)
        for call in calls:
            yield _inside_wandb(folder / "wandb", call, runs)


def _train_whole(folder: Path, words: tuple[str, ...]) -> Whole:
    began = time.monotonic()
    result = Whole(words, 0, {}).start(folder).wait()
    seconds, found = time.monotonic() - began, run_folder(folder / "runs")
    if result.status != 0 or found is None:
        raise RuntimeError(f"a run that nothing stops: {result}")
    return Whole(words, seconds, outcome(found))


def _check(what: str, detail: str, folder: Path, whole: Whole) -> Trial:
    """The trial of a run that is resumed to its end."""
    result = whole.start(folder).wait()
    found = run_folder(folder / "runs")
    if found is None or result.status != 0:
        return Trial(what, False, f"{detail}: {result}, {folder}")
    faults = [differences(found, whole.reference)]
    ids = {path.name.rpartition("-")[2] for path in (found / "wandb").glob("offline-run-*")}
    faults += [f"{len(ids)} wandb runs"] if len(ids) != 1 else []
    faults += [f"left {', '.join(left)}"] if (left := leftovers(found)) else []
    if fault := "; ".join(filter(None, faults)):
        return Trial(what, False, f"{detail}: {fault}, {folder}")
    remove(folder)
    return Trial(what, True)


def _random_moments(
    what: str, folder: Path, number: signal.Signals, count: int, whole: Whole, rng: random.Random
) -> Iterator[Trial]:
    kills, series = 0, 0
    while kills < count:
        series += 1
        here, moments = folder / str(series), []
        for _ in range(min(KILLS_PER_RUN, count - kills)):
            command = whole.start(here)
            delay = rng.uniform(0, whole.seconds)
            command.process.join(delay)
            if not command.process.is_alive():
                break  # the run has ended: no signal
            command.kill(number)
            status = command.wait().status
            moments.append(f"{delay:.2f} s")
            if number == signal.SIGTERM and status not in (143, -signal.SIGTERM, 0):
                yield Trial(what, False, f"status {status} after {moments}, {here}")
        if not moments:
            continue
        trial = _check(what, f"killed after {', '.join(moments)}", here, whole)
        for _ in moments:  # one run has several kills; each of them held if the run is right in the end
            kills += 1
            yield trial


def kill_in_write(name: str, moment: str) -> None:
    """Make this process kill itself the second time that it writes a file whose name has `name`; or the first."""
    fsync, replace, left = os.fsync, os.replace, [2 if name == "checkpoint-" else 1]

    def is_due(path: str) -> bool:
        left[0] -= name in Path(path).name
        return left[0] == 0 and name in Path(path).name

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def fsync_half(file: int) -> None:
        if is_due(str(Path(f"/proc/self/fd/{file}").readlink())):
            os.ftruncate(file, os.fstat(file).st_size // 2)
            die()
        fsync(file)

    def replace_or_die(source: str, target: str) -> None:
        due = is_due(str(target))
        if due and moment == MOMENTS[1]:
            die()
        replace(source, target)
        if due:
            die()

    if moment == MOMENTS[0]:
        os.fsync = fsync_half
    else:
        os.replace = replace_or_die


def kill_in_wandb(call: str) -> None:
    """Make this process kill itself a millisecond after it begins this call of the wandb logger."""
    from threading import Timer

    from modernet.tracking.logger import WandbLogger

    original = getattr(WandbLogger, call)

    def call_and_die(logger: WandbLogger, *arguments: object) -> None:
        Timer(0.001, os.kill, (os.getpid(), signal.SIGKILL)).start()
        original(logger, *arguments)
        time.sleep(1)

    setattr(WandbLogger, call, call_and_die)


def _inside_write(folder: Path, file: str, moment: str, whole: Whole) -> Trial:
    what, here = "SIGKILL inside a write", folder / f"{file}-{moment[:4]}"
    killed = whole.start(here, prepare=kill_in_write, prepare_arguments=(file, moment)).wait()
    if killed.status != -signal.SIGKILL:
        return Trial(what, False, f"{file}, {moment}: not killed, status {killed.status}, {here}")
    return _check(what, f"{file}, {moment}", here, whole)


def _inside_wandb(folder: Path, call: str, whole: Whole) -> Trial:
    what, here = "SIGKILL inside a call of wandb", folder / call
    killed = whole.start(here, prepare=kill_in_wandb, prepare_arguments=(call,)).wait()
    if killed.status != -signal.SIGKILL:
        return Trial(what, False, f"{call}: not killed, status {killed.status}, {here}")
    return _check(what, call, here, whole)
