"""No space, no permission, no memory, and folders of runs that are no folders: one line, and nothing half-written."""

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trials.processes import EVERYTHING, differences, leftovers, outcome, remove, run, run_folder
from trials.trial import Trial

KIB = 1024
SIZES = (16, 64, 128, 256, 400, 600, 800, 1000, 1200, 1400, 1600, 1800)  # KiB of the disk; a run needs about 2,000
MEMORY = (100, 200, 300, 400, 600)  # MiB that a run may take besides what its libraries have taken
CAPABILITIES = 0x20080522  # version of the structure that capset(2) takes
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2  # numbers of the capabilities by which root ignores permissions
EARLIER = "the earlier file"
LARGE_BATCH = (
    *("+step=modern_recipe", "data=fake", "data.image_size=64", "data.num_classes=10", "data.train_images=2048"),
    *("data.test_images=64", "recipe.batch_size=1024", "recipe.epochs=1", "recipe.warmup_epochs=0", "model.width=64"),
)


@contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    """A file system of that size, mounted at `folder`; needs root."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Change the options of a mounted file system."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """Of disks, permissions and memory; those that mount a disk need root, and are left out without it."""
    with tempfile.TemporaryDirectory(prefix="modernet-") as name:
        folder = Path(name)
        run(folder / "whole", "train", *EVERYTHING, "wandb=disabled", f"runs={folder / 'whole/runs'}")
        whole = run_folder(folder / "whole/runs")
        assert whole is not None
        # Figures need a second variant.
        run(
            folder / "second", "train", *EVERYTHING, "model.act=gelu", "wandb=disabled", f"runs={folder / 'whole/runs'}"
        )
        for limit in MEMORY[:1] if short else MEMORY:
            yield _no_memory(folder / f"memory-{limit}", limit)
        yield from _odd_runs(folder / "odd", short)
        try:
            with small_disk(folder / "try", 16):
                pass
        except (OSError, subprocess.CalledProcessError):
            print("disk: without the right to mount, no full and no read-only disk is tried", file=sys.stderr)
            return
        for size in SIZES[3:5] if short else SIZES:
            yield _full_disk(folder / f"full-{size}", size, outcome(whole))
        for verb, arguments in _outputs(whole).items():
            yield from _output(folder / verb, verb, arguments)
            if short:
                break


def _full_disk(folder: Path, size: int, reference: dict[str, Any]) -> Trial:
    """A run on a disk that gets full, and again when there is space."""
    what = "a run on a full disk: one line, and the same command resumes it when there is space"
    arguments = (*EVERYTHING, "wandb=disabled", f"runs={folder / 'disk/runs'}")
    with small_disk(folder / "disk", size) as disk:
        full = run(folder / "out", "train", *arguments)
        parts = list(disk.rglob("*.part"))
        remount(disk, "size=64m")
        again = run(folder / "out", "train", *arguments)
        found = run_folder(disk / "runs")
        fault = "no folder" if found is None else differences(found, reference) or ", ".join(leftovers(found))
    said = full.status == 0 or full.is_one_line(1, str(disk), "pace left on")
    held = said and not parts and again.status == 0 and not fault
    return Trial(what, held, f"{size} KiB: {full}, {parts}, {fault}, {again.errors()}")


def _outputs(whole: Path) -> dict[str, Callable[[Path], tuple[object, ...]]]:
    """Verb -> its arguments, which write below a folder."""
    runs = whole.parents[1]
    return {
        "report": lambda disk: (runs, "--out", disk / "report.html"),
        "figures": lambda disk: (runs, "--out", disk / "figures"),
        "freeze": lambda disk: ("study", "--runs", runs),
        "export": lambda disk: (whole, disk / "weights.safetensors"),
        "evaluate": lambda disk: (whole, "--out", disk / "evaluation"),
    }


def _output(folder: Path, verb: str, arguments: Callable[[Path], tuple[object, ...]]) -> Iterator[Trial]:
    for kind, status in (("full", 1), ("read-only", 2)):
        with small_disk(folder / kind, 4 * KIB) as disk:
            first = run(folder / "out", verb, *arguments(disk), cwd=disk)  # the earlier files
            if kind == "full":
                for path in (path for path in disk.rglob("*") if path.is_file()):
                    path.write_text(EARLIER)  # so that each file would grow
                with (disk / "filler").open("wb", buffering=0) as filler:
                    try:
                        while filler.write(bytes(KIB)):
                            pass
                    except OSError:
                        pass
            before = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
            if kind == "read-only":
                remount(disk, "ro")
            result = run(folder / "out", verb, *arguments(disk), cwd=disk)
            after = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
        path = "results/studies/study" if verb == "freeze" else str(disk)  # freeze writes below its working folder
        held = first.status == 0 and len(before) > 0 and after == before and result.is_one_line(status, path)
        what = f"output to a {kind} disk: one line, status {status}, earlier files intact"
        yield Trial(what, held, f"{verb}: first {first.status} {first.errors()}, then {result}")


def obey_permissions() -> None:
    """Give up root's right to ignore the permissions of files."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES, 0)  # version, this process
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable ones, in two parts
    libc.capget(header, sets)
    sets[0] &= ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH)
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def _odd_runs(folder: Path, short: bool) -> Iterator[Trial]:
    """`runs=` values that are no folder, or one that cannot be written."""
    folder.mkdir()
    (folder / "file").write_text("a file")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("absent/absent")
    os.mkfifo(folder / "pipe")
    (folder / "closed").mkdir(mode=0o500)
    values = {
        **{name: folder / name for name in ("file", "loop", "dangling", "pipe")},
        **{"/dev/null": "/dev/null", "/dev/full/runs": "/dev/full/runs", "/proc": "/proc/runs"},
        **{"a name that is too long": folder / ("x" * 300), "a path that is too long": folder / ("x/" * 3000)},
    }
    values |= {"no permission": folder / "closed", "no permission in the parent": folder / "closed/runs"}
    what = "runs= is no folder or cannot be written: one line, status 2, nothing left"
    for kind, runs in list(values.items())[:3] if short else values.items():
        for sweep in ((), ("-m", "seed=0,1")):
            before = sorted(folder.iterdir())
            prepare = obey_permissions if kind.startswith("no permission") else None
            out = folder.parent / "odd-out"
            result = run(out, "train", *sweep, *EVERYTHING, "wandb=disabled", f"runs='{runs}'", prepare=prepare)
            held = result.is_one_line(2, str(runs)) and sorted(folder.iterdir()) == before
            yield Trial(what, held, f"{kind} {sweep}: {result}")


def limit_memory(mebibytes: int) -> None:
    """Let this process take this much memory besides what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + mebibytes * KIB * KIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _no_memory(folder: Path, limit: int) -> Trial:
    arguments = (*LARGE_BATCH, "wandb=disabled", f"runs={folder / 'runs'}")
    result = run(folder, "train", *arguments, prepare=limit_memory, prepare_arguments=(limit,))
    held = result.is_one_line(1, "not enough memory for batches of 1024 images of 64 px", "recipe.micro_batch_size")
    held = held and not list(folder.rglob("record.json"))
    if held:
        remove(folder)
    return Trial("too little memory: one line names the batch and what to try", held, f"{limit} MiB: {result}")
