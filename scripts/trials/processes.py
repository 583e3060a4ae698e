"""Commands of modernet in processes that start within a fraction of a second, and the results of runs.

A fork server has imported what the commands need, so that hundreds of starts do not take hours. Signals, files and
exit statuses are those of a process that a user starts.
"""

import hashlib
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from modernet.runtime.file_names import METRICS_FILE, RECORD_FILE, STEPS_FILE

PRELOAD = ("modernet.commands.train", "modernet.training.trainer", "modernet.figures.gallery", "modernet.report.page")
CONTEXT = multiprocessing.get_context("forkserver")
# Values that differ between two runs of one config: those of the clock, the memory and the command line.
CLOCK_FIELDS = {"train_seconds", "images_per_second", "started", "ended", "peak_host_memory", "overrides", "data_wait"}
TRACEBACK = "Traceback (most recent call last)"

# Everything that draws or keeps a state is on.
STATEFUL = (
    *("+step=modern_recipe", "recipe.epochs=6", "recipe.warmup_epochs=1"),
    *("recipe.mixup_alpha=0.8", "recipe.cutmix_alpha=1.0", "recipe.randaugment=9", "recipe.random_erasing_prob=0.25"),
    *("recipe.drop_path_rate=0.3", "recipe.ema_decay=0.98", "checkpoint_minutes=0", "log_every_steps=2"),
)
# 256 random images: an epoch of four steps takes a tenth of a second.
EVERYTHING = (
    *STATEFUL,
    *("data=fake", "data.image_size=8", "data.num_classes=10", "data.train_images=256", "data.test_images=64"),
    *("recipe.batch_size=64", "recipe.micro_batch_size=32"),
)


@dataclass
class Command:
    """A started command; its output is in files."""

    process: BaseProcess
    folder: Path

    def wait(self, seconds: float = 300) -> "Result":
        """The result; a command that does not end is killed and has the status None."""
        self.process.join(seconds)
        status = self.process.exitcode
        if status is None:
            self.kill(signal.SIGKILL)
        return Result(status, (self.folder / "out").read_text(), (self.folder / "err").read_text(errors="replace"))

    def kill(self, number: signal.Signals) -> None:
        """Send a signal, and wait where it ends every process."""
        assert self.process.pid is not None
        if self.process.is_alive():
            os.kill(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.join()


@dataclass(frozen=True)
class Result:
    """Of a command that ended; `status` is negative for a signal."""

    status: int | None
    out: str
    err: str

    def errors(self) -> list[str]:
        """The lines of errors on stderr."""
        return [line for line in self.err.splitlines() if ": error: " in line or TRACEBACK in line]

    def is_one_line(self, status: int, *words: str) -> bool:
        """Whether the command ended with this status and one line that has these words."""
        lines = self.errors()
        return self.status == status and len(lines) == 1 and all(word in lines[0] for word in words)


def start(
    folder: Path,
    verb: str,
    *arguments: object,
    prepare: Callable[..., None] | None = None,
    prepare_arguments: Sequence[Any] = (),
    cwd: Path | None = None,
) -> Command:
    """Start `modernet VERB ARGUMENTS`; `folder` is made for its output. `prepare` is called in the process before."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("out", "err"):  # now, as a signal may come before the process opens them
        (folder / name).write_bytes(b"")
    CONTEXT.set_forkserver_preload(list(PRELOAD))
    words = [str(word) for word in arguments]
    process = CONTEXT.Process(target=_run, args=(folder, verb, words, prepare, prepare_arguments, cwd or Path.cwd()))
    process.start()
    return Command(process, folder)


def _run(
    folder: Path,
    verb: str,
    arguments: list[str],
    prepare: Callable[..., None] | None,
    prepare_arguments: Sequence[Any],
    cwd: Path,
) -> None:
    for name, stream in (("out", 1), ("err", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.environ["OMP_NUM_THREADS"] = "1"
    # Workers of DataLoader start as in a process that a user starts, and not from another fork server.
    multiprocessing.set_start_method(None, force=True)
    os.chdir(cwd)
    sys.argv = [f"modernet {verb}", *arguments]
    import torch  # the fork server has it

    torch.set_num_threads(1)
    if prepare:
        prepare(*prepare_arguments)
    try:
        importlib.import_module(f"modernet.commands.{verb}").main()
    except SystemExit as end:
        raise SystemExit(end.code if isinstance(end.code, int) else int(end.code is not None)) from None
    except BaseException:
        traceback.print_exc()
        raise SystemExit(1) from None
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def run(folder: Path, verb: str, *arguments: object, **options: Any) -> Result:
    """Start a command and wait for its end."""
    return start(folder, verb, *arguments, **options).wait()


def run_folder(runs: Path) -> Path | None:
    """The folder of the only run below `runs`, once there is one."""
    logs = list(runs.glob("*/*/train.log"))
    return logs[0].parent if logs else None


def without_clock(values: dict[str, Any]) -> dict[str, Any]:
    """A record, or a row of a run's file, without CLOCK_FIELDS."""
    kept = {name: value for name, value in values.items() if name not in CLOCK_FIELDS}
    return {name: without_clock(value) if name == "metrics" else value for name, value in kept.items()}


def outcome(folder: Path) -> dict[str, Any]:
    """Record, epochs, steps and a digest of the weights of a finished run, without what depends on the clock."""
    import torch

    weights = torch.load(folder / "model.pt", weights_only=True)
    digest = hashlib.sha256()
    for part, values in weights.items():
        for name, value in values.items():
            digest.update(f"{part}.{name}".encode() + value.contiguous().numpy().tobytes())
    rows = {
        name: [without_clock(json.loads(line)) for line in (folder / name).read_text().splitlines()]
        for name in (METRICS_FILE, STEPS_FILE)
    }
    record = without_clock(json.loads((folder / RECORD_FILE).read_text()))
    return {"record": record, "weights": digest.hexdigest(), **rows}


def differences(folder: Path, reference: dict[str, Any]) -> str:
    """What of a run differs from another's outcome; empty where nothing does."""
    try:
        found = outcome(folder)
    except Exception as error:  # torch.load raises many kinds
        return f"{type(error).__name__}: {error}"
    return ", ".join(f"{name} differs" for name in reference if found[name] != reference[name])


def leftovers(folder: Path) -> list[str]:
    """Files below a folder that a finished command should not leave."""
    names = ("*.part", "checkpoint-*", ".lock", ".holder")
    return [str(path.relative_to(folder)) for name in names for path in folder.rglob(name)]


def wait_until(condition: Callable[[], Any], process: BaseProcess, seconds: float = 120) -> Any:
    """The condition's value as soon as it is true; None where the process ends, or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.is_alive():
        if value := condition():
            return value
        time.sleep(0.002)
    return condition()


def remove(folder: Path) -> None:
    """Delete a folder of a trial that held."""
    shutil.rmtree(folder, ignore_errors=True)


def descendants_of(variable: str, value: str) -> list[int]:
    """Process ids of all processes with this environment variable, whatever their parents are (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "environ").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it ended, or belongs to somebody else
            continue
        if f"{variable}={value}".encode() in words and state != "Z":
            found.append(int(folder.name))
    return found
