"""Runs that are killed: at random moments, inside each write, with two processes, in a sweep."""

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
KILLS = {signal.SIGKILL: 100, signal.SIGTERM: 50}
FEW = {signal.SIGKILL: 4, signal.SIGTERM: 2}
FILES = ("checkpoint-", "metrics.jsonl", "steps.jsonl", "model.pt", "record.json", "config.yaml", "run.json")
MOMENTS = ("half written", "before the rename", "after the rename")
CALLS = ("log_steps", "log_epoch", "log_result", "close")
TABLE_FILES = ("table.md", "table.csv", "record.json", ".svg", ".pdf")


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """Every run ends bit-identical to one that nothing stopped, with one wandb run, and leaves nothing behind."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="modernet-") as name:
        folder = Path(name)
        began = time.monotonic()
        whole = run(folder / "whole", "train", *EVERYTHING, "wandb=offline", f"runs={folder / 'whole/runs'}")
        seconds = time.monotonic() - began
        found = run_folder(folder / "whole/runs")
        if whole.status != 0 or found is None:
            yield Trial("a run that nothing stops", False, whole.err)
            return
        reference = outcome(found)
        for number, count in (FEW if short else KILLS).items():
            yield from _random_moments(folder / number.name, number, count, seconds, reference, rng)
        files, calls = (FILES[:1], CALLS[:1]) if short else (FILES, CALLS)
        for file in files:
            for moment in MOMENTS:
                yield _inside_write(folder / "write", file, moment, reference)
        for call in calls:
            yield _inside_wandb(folder / "wandb", call, reference)
        yield from _inside_table(folder, folder / "whole/runs", TABLE_FILES[:1] if short else TABLE_FILES)


def _check(what: str, detail: str, folder: Path, result_status: int | None, reference: dict) -> Trial:
    """The trial of a run that was resumed to its end."""
    found = run_folder(folder / "runs")
    if found is None or result_status != 0:
        return Trial(what, False, f"{detail}: status {result_status}, {folder}")
    faults = [differences(found, reference)]
    ids = {path.name.rpartition("-")[2] for path in (found / "wandb").glob("offline-run-*")}
    faults += [f"{len(ids)} wandb runs"] if len(ids) != 1 else []
    faults += [f"left {', '.join(left)}"] if (left := leftovers(found)) else []
    if fault := "; ".join(filter(None, faults)):
        return Trial(what, False, f"{detail}: {fault}, {folder}")
    remove(folder)
    return Trial(what, True)


def _start(folder: Path, **options: Any) -> Command:
    return start(folder, "train", *EVERYTHING, "wandb=offline", f"runs={folder / 'runs'}", **options)


def _random_moments(
    folder: Path, number: signal.Signals, count: int, seconds: float, reference: dict, rng: random.Random
) -> Iterator[Trial]:
    what, kills, series = f"{number.name} at a random moment", 0, 0
    while kills < count:
        series += 1
        here, moments = folder / str(series), []
        for _ in range(KILLS_PER_RUN):
            command = _start(here)
            delay = rng.uniform(0, seconds)
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
        trial = _check(what, f"killed after {', '.join(moments)}", here, _start(here).wait().status, reference)
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


def _inside_write(folder: Path, file: str, moment: str, reference: dict) -> Trial:
    what, here = "SIGKILL inside a write", folder / f"{file}-{moment[:4]}"
    killed = _start(here, prepare=kill_in_write, prepare_arguments=(file, moment)).wait()
    if killed.status != -signal.SIGKILL:
        return Trial(what, False, f"{file}, {moment}: not killed, status {killed.status}, {here}")
    return _check(what, f"{file}, {moment}", here, _start(here).wait().status, reference)


def _inside_wandb(folder: Path, call: str, reference: dict) -> Trial:
    what, here = "SIGKILL inside a call of wandb", folder / call
    killed = _start(here, prepare=kill_in_wandb, prepare_arguments=(call,)).wait()
    if killed.status != -signal.SIGKILL:
        return Trial(what, False, f"{call}: not killed, status {killed.status}, {here}")
    return _check(what, call, here, _start(here).wait().status, reference)


def _inside_table(folder: Path, runs: Path, files: tuple[str, ...]) -> Iterator[Trial]:
    """`freeze` copies records and writes a table and figures; the same command repairs what a killed one left."""
    what = "SIGKILL inside the writes of a study's table and figures"
    variants = ("-m", "model.act=relu,gelu", "model.norm=batch,layer")
    others = run(folder / "others", "train", *EVERYTHING, *variants, "wandb=disabled", f"runs={runs}")
    if others.status != 0:
        yield Trial(what, False, others.err)
        return

    def freeze(name: str, **options: Any) -> tuple[int | None, dict[str, bytes]]:
        here = folder / "freeze" / name
        here.mkdir(parents=True, exist_ok=True)
        status = run(here, "freeze", "study", "--runs", runs, cwd=here, **options).status
        study = here / "results/studies/study"
        files = [path for path in study.rglob("*") if path.is_file() and path.suffix != ".part"]
        return status, {str(path.relative_to(study)): path.read_bytes() for path in files}

    _, expected = freeze("whole")
    for file in files:
        name = file.strip(".")
        killed, between = freeze(name, prepare=kill_in_write, prepare_arguments=(file, MOMENTS[0]))
        torn = [path for path, content in between.items() if content != expected.get(path)]
        status, after = freeze(name)
        held = (killed, status) == (-signal.SIGKILL, 0) and not torn and after == expected
        yield Trial(what, held, f"{file}: statuses {killed}, {status}; torn: {torn}; {folder / 'freeze' / name}")
