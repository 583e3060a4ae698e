"""Files of a run that are damaged, foreign or no files: named, set aside or refused, and never used."""

import hashlib
import io
import os
import pickle
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from modernet.runtime.file_names import METRICS_FILE, STEPS_FILE
from trials.disk import obey_permissions
from trials.processes import EVERYTHING, Command, differences, leftovers, outcome, run_folder, start, wait_until
from trials.trial import Trial

RUN_FILES = ("record.json", "model.pt", "config.yaml", "train.log", "metrics.jsonl", "steps.jsonl", ".lock", ".holder")


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def _train(folder: Path, *arguments: object, prepare: Callable[[], None] | None = None) -> Command:
    words = (*EVERYTHING, "wandb=disabled", f"runs={folder / 'runs'}", *arguments)
    return start(folder, "train", *words, prepare=prepare)


def _interrupt(folder: Path, *arguments: object) -> Path:
    """The folder of a run that was stopped by SIGTERM with two checkpoints."""
    command = _train(folder, *arguments)
    wait_until(lambda: len(list((folder / "runs").rglob("checkpoint-*.pt"))) > 1, command.process)
    command.kill(signal.SIGTERM)
    command.wait()
    found = run_folder(folder / "runs")
    assert found is not None
    return found


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """A run whose newest checkpoint is bad, or both are, ends with the result of a run that nothing stopped."""
    with tempfile.TemporaryDirectory(prefix="modernet-") as name:
        folder = Path(name)
        _train(folder / "whole").wait()
        whole = run_folder(folder / "whole/runs")
        assert whole is not None
        reference = outcome(whole)
        stopped = _interrupt(folder / "stopped")
        others = {
            "another seed": _interrupt(folder / "seed", f"seed={seed + 1}"),
            "another network": _interrupt(folder / "network", "model.width=8"),
            "another recipe": _interrupt(folder / "recipe", "recipe.lr=0.1"),
        }
        kinds = _bad_checkpoints(folder, others)
        for kind in list(kinds)[:3] if short else kinds:
            for count in (1, 2):
                yield _resume(folder / f"{kind}-{count}", stopped, kind, kinds[kind], count, reference, folder)
        yield _unreadable(folder / "unreadable", stopped, reference)
        for file in RUN_FILES[:2] if short else RUN_FILES:
            yield _refused(folder / f"folder-{file}", stopped, file)
        for file in RUN_FILES[-1:] if short else (STEPS_FILE, METRICS_FILE, "config.yaml", *RUN_FILES[-2:]):
            yield _binary(folder / f"binary-{file}", stopped, file, reference)


def _bad_checkpoints(folder: Path, others: dict[str, Path]) -> dict[str, Callable[[Path], object]]:
    """Kind of a bad checkpoint -> a function that replaces the file at a path by it."""
    import torch

    def write(path: Path, content: bytes) -> None:
        """Under a name that fits the content."""
        path.unlink()
        step = path.name.split("-")[1]
        path.with_name(f"checkpoint-{step}-{hashlib.sha256(content).hexdigest()[:16]}.pt").write_bytes(content)

    def write_object(path: Path, value: Any) -> None:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        write(path, buffer.getvalue())

    def use_object(value: Any) -> Callable[[Path], None]:
        return lambda path: write_object(path, value)

    def use_version(version: int) -> Callable[[Path], None]:
        return lambda path: write_object(path, torch.load(path, weights_only=True) | {"schema_version": version})

    def use_link(path: Path) -> None:
        path.unlink()
        path.symlink_to("absent")

    def use_folder(path: Path) -> None:
        path.unlink()
        (path / "inside").mkdir(parents=True)

    def use_pipe(path: Path) -> None:
        path.unlink()
        os.mkfifo(path)

    def use_checkpoint_of(other: Path) -> Callable[[Path], None]:
        newest = sorted(other.glob("checkpoint-*.pt"))[-1]
        return lambda path: write(path, newest.read_bytes())

    return {
        **{kind: use_checkpoint_of(other) for kind, other in others.items()},
        "a foreign pickle": lambda path: write(path, pickle.dumps(Hostile(folder / "executed"))),
        "a pickle of torch": use_object(Hostile(folder / "executed")),
        "a list": use_object([1, 2, 3]),
        "without keys": use_object({"model": {}}),
        "an empty dictionary": use_object({}),
        "a later version": use_version(99),
        "an earlier version": use_version(1),
        "zero bytes": lambda path: write(path, b""),
        "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
        "emptied": lambda path: path.write_bytes(b""),
        "a bit flipped": lambda path: path.write_bytes(path.read_bytes()[:-9] + b"\1" + path.read_bytes()[-8:]),
        "a folder": use_folder,
        "a dangling link": use_link,
        "a named pipe": use_pipe,
    }


def _copy(folder: Path, stopped: Path) -> Path:
    """A copy of a stopped run, in a folder of runs below `folder`."""
    target = folder / "runs" / stopped.parent.name / stopped.name
    shutil.copytree(stopped, target)
    return target


def _resume(
    folder: Path,
    stopped: Path,
    kind: str,
    damage: Callable[[Path], object],
    count: int,
    reference: dict[str, Any],
    top: Path,
) -> Trial:
    target = _copy(folder, stopped)
    for path in sorted(target.glob("checkpoint-*.pt"))[-count:]:
        damage(path)
    result = _train(folder).wait()
    said = result.err.count("; it is now ")
    remedy = "the checkpoint before it is used" if count == 1 else "the run begins again"
    faults = [differences(target, reference), "; ".join(result.errors())]
    faults += [f"status {result.status}"] * (result.status != 0) + [f"{said} lines"] * (said != count)
    faults += [f"it does not say: {remedy}"] * (remedy not in result.err)
    faults += ["not set aside"] * (len(list(target.glob("*.bad*"))) != count)
    faults += ["code was executed"] * (top / "executed").exists()
    held = not any(faults)
    which = (
        "the newest checkpoint is bad: the one before it is used"
        if count == 1
        else "all checkpoints are bad: it begins again"
    )
    return Trial(which, held, f"{kind}: {'; '.join(filter(None, faults))}, {folder}")


def _unreadable(folder: Path, stopped: Path, reference: dict[str, Any]) -> Trial:
    """A checkpoint without permission is not set aside, and is used once it is allowed."""
    target = _copy(folder, stopped)
    newest = sorted(target.glob("checkpoint-*.pt"))[-1]
    mode = newest.stat().st_mode
    newest.chmod(0)
    refused = _train(folder, prepare=obey_permissions).wait()
    kept = newest.exists() and not list(target.glob("*.bad*"))
    newest.chmod(mode)
    result = _train(folder).wait()
    step = int(newest.name.split("-")[1])
    faults = ["it is set aside"] * (not kept) + ["it is not used"] * (f"resuming from step {step} " not in result.err)
    fault = "; ".join(filter(None, [*faults, differences(target, reference), *result.errors()]))
    held = refused.is_one_line(2, str(newest), "ermission") and result.status == 0 and not fault
    what = "a checkpoint may not be read: one line, status 2, and it is used once it may"
    return Trial(what, held, f"{fault}, {refused}, {folder}")


def _refused(folder: Path, stopped: Path, file: str) -> Trial:
    """A folder with the name of a file of the run is refused before anything is trained."""
    target = _copy(folder, stopped)
    (target / file).unlink(missing_ok=True)
    (target / file).mkdir()
    result = _train(folder).wait()
    held = result.is_one_line(2, file) and len(list(target.glob("checkpoint-*.pt"))) == 2
    return Trial("a folder has the name of a run's file: one line, status 2", held, f"{file}: {result}")


def _binary(folder: Path, stopped: Path, file: str, reference: dict[str, Any]) -> Trial:
    """A file with other content than ours is written again, and the result is the same.

    Only steps.jsonl has rows that nothing else has; the command says which are lost.
    """
    target = _copy(folder, stopped)
    (target / file).write_bytes(bytes(range(256)))
    result = _train(folder).wait()
    if file == STEPS_FILE and "missing or damaged" in result.err:
        reference = {name: value for name, value in reference.items() if name != STEPS_FILE}
    fault = "; ".join(filter(None, [differences(target, reference), *result.errors()]))
    fault += ", ".join(name for name in leftovers(target) if not name.endswith(".bad"))
    held = result.status == 0 and not fault
    return Trial("a run's file has binary content: it is written again", held, f"{file}: {fault}, {folder}")
