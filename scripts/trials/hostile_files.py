"""Hostile files: pickles, archives, yaml and addresses of data that would run a command."""

import io
import json
import os
import pickle
import shlex
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from modernet.data.conversion import extract_folder
from trials.commands import run_in_process
from trials.hostile import MARKER, RUN, finished_run, run_problem


class Touch:
    """Unpickling it runs a shell command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {MARKER}",)


def _hostile_pickle() -> bytes:
    return pickle.dumps({"model": Touch()})


def pickle_as_checkpoint(folder: Path) -> str:
    """A checkpoint with a valid name."""
    from hashlib import sha256

    run = finished_run(folder)
    for name in ("record.json", "model.pt"):
        (run / name).unlink()
    content = _hostile_pickle()
    (run / f"checkpoint-000000001-{sha256(content).hexdigest()[:16]}.pt").write_bytes(content)
    return run_problem(RUN + "runs=runs")


def pickle_as_weights(folder: Path) -> str:
    """model.pt of a run, for evaluate, export and finetune."""
    run = finished_run(folder)
    (run / "model.pt").write_bytes(_hostile_pickle())
    commands = (f"modernet evaluate '{run}'", f"modernet export '{run}' x.safetensors", f"{RUN} finetune='{run}'")
    return "".join(run_problem(command) for command in commands)


def pickle_as_pretrained_file(folder: Path) -> str:
    """finetune=FILE with each suffix."""
    for suffix in ("pth", "pt", "safetensors", "bin"):
        (folder / f"x.{suffix}").write_bytes(_hostile_pickle())
    return "".join(run_problem(f"{RUN} finetune=x.{suffix}", 2) for suffix in ("pth", "pt", "safetensors", "bin"))


def pickle_in_npz(folder: Path) -> str:
    """Arrays of objects, also as the names of the classes."""
    arrays: dict[str, Any] = {f"{name}_{split}": np.zeros(1) for name in "xy" for split in ("train", "test")}
    for name in ("x_train", "classes"):
        hostile: dict[str, Any] = arrays | {name: np.array([Touch()], dtype=object)}
        np.savez(folder / "cifar10.npz", **hostile)
        if problem := run_problem("train.py data=cifar10 data.root=. wandb=disabled", 2):
            return problem
    return ""


def pickle_in_shards(folder: Path) -> str:
    """Members whose names webdataset's decoders take for pickles."""
    for split in ("train", "val"):
        with tarfile.open(folder / f"{split}-0.tar", "w") as tar:
            for suffix in ("pkl", "pickle", "pyd", "pth", "cls"):
                content = b"0" if suffix == "cls" else _hostile_pickle()
                member = tarfile.TarInfo(f"0.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return run_problem("train.py data=shards data.root=. data.train_images=1 data.num_classes=2 wandb=disabled")


PIPES = (
    "pipe:touch pwned # {split}-{000..001}.tar",
    "PIPE:touch pwned # {split}",
    " pipe:touch pwned # {split}",
    "https://192.0.2.1/{split}-0.tar::pipe:touch pwned # {split}",
    "{split}-0.tar::pipe:touch pwned",
    "{pipe,pipe}:touch pwned # {split}",
    "file:$(touch pwned)/{split}-0.tar",
    "http://127.0.0.1:9/$(touch pwned)/{split}-0.tar",
    "http://127.0.0.1:9/';touch pwned;'/{split}-0.tar",
    "gs://`touch pwned`/{split}-0.tar",
    "ais://x/;touch pwned;{split}-0.tar",
    "|touch pwned",
)


def commands_as_data_root(folder: Path) -> str:
    """data.root with addresses that run a command, and with shell characters."""
    fixed = "train.py data=shards data.train_images=1 data.num_classes=2 wandb=disabled"
    for program in ("curl", "gsutil", "ais"):  # instead of those that would look for the host
        (folder / program).write_text("#!/bin/sh\nexit 1\n")
        (folder / program).chmod(0o755)
    with patch.dict(os.environ, {"PATH": f"{folder}:{os.environ['PATH']}"}):
        return _try_roots(fixed)


def _try_roots(fixed: str) -> str:
    for root in PIPES:
        word = shlex.quote(f'data.root="{root}"')
        status, errors = run_in_process(f"{fixed} {word}")
        if status != 2 or "Traceback" in errors:
            return f"{root}: status {status}: {errors[-300:]}"
    return ""


def commands_in_a_record(folder: Path) -> str:
    """A record of somebody else whose data are a command."""
    run = finished_run(folder)
    record = json.loads((run / "record.json").read_text())
    record["config"]["data"] |= {"kind": "shards", "name": "shards", "train_images": 1, "allow_pipe": True}
    (run / "record.json").write_text(json.dumps(record))
    root = "pipe:touch pwned # {split}"
    (folder / root).mkdir()
    (run / "config.yaml").write_text(f"data_root: '{root}'\n")
    return run_problem(f"modernet evaluate '{run}'")


def python_in_yaml(folder: Path) -> str:
    """A step, a file of names and the config of an interrupted run."""
    text = f"!!python/object/apply:os.system ['touch {MARKER}']\n"
    (folder / "step").mkdir()
    (folder / "step/mine.yaml").write_text(text)
    (folder / "names.yaml").write_text(f"steps: {text}")
    run = finished_run(folder)
    problems = [run_problem(f"{RUN} --config-dir . +step=mine", 2), run_problem("modernet table runs --config-dir .")]
    (run / "config.yaml").write_text(text)
    problems.append(run_problem(f"modernet evaluate '{run}'"))
    (run / "record.json").unlink()
    problems.append(run_problem(f"{RUN} runs=runs"))
    return "".join(problems)


def archives_with_paths_outside(folder: Path) -> str:
    """Members above the folder, absolute ones, links and devices."""
    inside = folder / "inside"
    inside.mkdir()
    members = {
        "../outside": {},
        str(folder / "outside"): {},
        "set/link": {"type": tarfile.SYMTYPE, "linkname": "../../outside"},
        "set/hard": {"type": tarfile.LNKTYPE, "linkname": "../../outside"},
        "set/device": {"type": tarfile.CHRTYPE},
    }
    for name, values in members.items():
        with tarfile.open(folder / "x.tar", "w") as tar:
            member = tarfile.TarInfo(name)
            for field, value in values.items():
                setattr(member, field, value)
            tar.addfile(member, io.BytesIO())
        with suppress(tarfile.FilterError, FileNotFoundError):
            extract_folder(folder / "x.tar", "set", inside / "set")
        if (folder / "outside").exists() or any(path.is_symlink() for path in inside.rglob("*")):
            return f"{name} was unpacked"
        shutil.rmtree(inside / "set", ignore_errors=True)
    with zipfile.ZipFile(folder / "x.zip", "w") as file:
        file.writestr("../../outside.npz", b"")
    with zipfile.ZipFile(folder / "x.zip") as file:  # as modernet.data.conversion does
        file.extract("../../outside.npz", inside)
    return "a member of a zip file left its folder" if (folder.parent / "outside.npz").exists() else ""
