"""Hostile files, values and records: nothing of them is executed, nothing leaves the machine, no key is written."""

import csv
import io
import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import chdir, suppress
from html.parser import HTMLParser
from pathlib import Path
from socket import create_server
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np

from modernet.data.conversion import extract_folder
from trials.commands import REPOSITORY, run_in_process
from trials.trial import Trial

MARKER = "pwned"  # appears in the working folder where something is executed
KEY = "0123456789abcdef0123456789abcdef01234567"  # of wandb, in the environment
QUICK = (
    "train.py data=fake data.image_size=8 data.num_classes=10 data.train_images=64 data.test_images=16 "
    "recipe.epochs=1 recipe.warmup_epochs=0 recipe.batch_size=32 model.width=8 num_workers=0 "
)
RUN = QUICK + "wandb=disabled "
# Texts of a record for each format that may hold code.
PAYLOADS = (
    "gelu+act=</script><script>alert(1)</script><img src=x onerror=alert(1)>",
    "=cmd|' /C touch pwned'!A1",
    "@SUM(1+1)*cmd|' /C touch pwned'!A1",
    "+1+cmd",
    "gelu\n\n# heading\n![image](http://192.0.2.1/x.png) [link](javascript:alert(1))",
    r"gelu\input{/etc/passwd}\immediate\write18{touch pwned}$x^2$",
    "gelu\x1b]0;title\x07\x1b[2J",
    "../../../outside",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}",
)


class Touch:
    """Unpickling it runs a shell command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {MARKER}",)


def _hostile_pickle() -> bytes:
    return pickle.dumps({"model": Touch()})


def _run(command: str, status: int | None = None) -> str:
    """Why a command ended in another way than with this status, or than with 0, 1 or 2; empty otherwise."""
    try:
        found, errors = run_in_process(command)
    except Exception as error:
        return f"raised {type(error).__name__}" if status is not None else ""
    if "Traceback" in errors and status is not None:
        return f"a traceback: {errors[-300:]}"
    return f"status {found}: {errors[-300:]}" if status not in (None, found) else ""


def _finished_run(folder: Path) -> Path:
    problem = _run(RUN + "runs=runs", 0)
    assert not problem, problem
    (record,) = folder.rglob("runs/**/record.json")
    return record.parent


def pickle_as_checkpoint(folder: Path) -> str:
    """A checkpoint with a valid name."""
    from hashlib import sha256

    run = _finished_run(folder)
    for name in ("record.json", "model.pt"):
        (run / name).unlink()
    content = _hostile_pickle()
    (run / f"checkpoint-000000001-{sha256(content).hexdigest()[:16]}.pt").write_bytes(content)
    return _run(RUN + "runs=runs")


def pickle_as_weights(folder: Path) -> str:
    """model.pt of a run, for evaluate, export and finetune."""
    run = _finished_run(folder)
    (run / "model.pt").write_bytes(_hostile_pickle())
    commands = (f"modernet evaluate '{run}'", f"modernet export '{run}' x.safetensors", f"{RUN} finetune='{run}'")
    return "".join(_run(command) for command in commands)


def pickle_as_pretrained_file(folder: Path) -> str:
    """finetune=FILE with each suffix."""
    for suffix in ("pth", "pt", "safetensors", "bin"):
        (folder / f"x.{suffix}").write_bytes(_hostile_pickle())
    return "".join(_run(f"{RUN} finetune=x.{suffix}", 2) for suffix in ("pth", "pt", "safetensors", "bin"))


def pickle_in_npz(folder: Path) -> str:
    """Arrays of objects, also as the names of the classes."""
    arrays: dict[str, Any] = {f"{name}_{split}": np.zeros(1) for name in "xy" for split in ("train", "test")}
    for name in ("x_train", "classes"):
        hostile: dict[str, Any] = arrays | {name: np.array([Touch()], dtype=object)}
        np.savez(folder / "cifar10.npz", **hostile)
        if problem := _run("train.py data=cifar10 data.root=. wandb=disabled", 2):
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
    return _run("train.py data=shards data.root=. data.train_images=1 data.num_classes=2 wandb=disabled")


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
    run = _finished_run(folder)
    record = json.loads((run / "record.json").read_text())
    record["config"]["data"] |= {"kind": "shards", "name": "shards", "train_images": 1, "allow_pipe": True}
    (run / "record.json").write_text(json.dumps(record))
    root = "pipe:touch pwned # {split}"
    (folder / root).mkdir()
    (run / "config.yaml").write_text(f"data_root: '{root}'\n")
    return _run(f"modernet evaluate '{run}'")


def shell_characters_in_paths(folder: Path) -> str:
    """runs= and folders of records with everything that a shell expands."""
    for name in (
        "$(touch pwned)",
        "`touch pwned`",
        ";touch pwned;",
        "a|touch pwned",
        "a&&touch pwned",
        "pipe:touch pwned",
    ):
        if problem := _run(f"""{RUN} 'runs="{name}"'""", 0):
            return f"{name}: {problem}"
        for verb in ("table", "figures", "report --out x.html", "sync"):
            _run(f"modernet {verb} '{name}'")
    return ""


def python_in_yaml(folder: Path) -> str:
    """A step, a file of names and the config of an interrupted run."""
    text = f"!!python/object/apply:os.system ['touch {MARKER}']\n"
    (folder / "step").mkdir()
    (folder / "step/mine.yaml").write_text(text)
    (folder / "names.yaml").write_text(f"steps: {text}")
    run = _finished_run(folder)
    problems = [_run(f"{RUN} --config-dir . +step=mine", 2), _run("modernet table runs --config-dir .")]
    (run / "config.yaml").write_text(text)
    problems.append(_run(f"modernet evaluate '{run}'"))
    (run / "record.json").unlink()
    problems.append(_run(f"{RUN} runs=runs"))
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


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attrs:
            if name.startswith("on") or (
                name in ("href", "src") and re.match(r"(?i)\s*(javascript|https?):", value or "")
            ):
                self.faults.append(f"<{tag} {name}={value}>")


def _text_fault(name: str, text: str) -> str:
    """What a table must not hold."""
    rules = {
        "markdown": r"(?m)(?<!\\)<script|(?<!\\)<img|\]\(|^# heading|[\x00-\x08\x0b-\x1f]",
        "latex": r"\\(input|immediate|write)|[\x00-\x08\x0b-\x1f]",
    }
    if name == "csv":
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                if re.match(r"[=+@\t\r-]", cell) and not re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", cell):
                    return f"csv: {cell!r}"
        return ""
    found = re.search(rules[name], text)
    return f"{name}: {text[max(0, found.start() - 40) : found.end() + 40]!r}" if found else ""


def hostile_records(folder: Path) -> str:
    """Texts of records in tables, figures, pages and file names."""
    run = _finished_run(folder)
    record, here = json.loads((run / "record.json").read_text()), folder / "work"
    here.mkdir()
    for number, payload in enumerate(PAYLOADS):
        for copy, changes in enumerate(
            (
                {"variant": payload, "recipe": payload, "host": payload, "cpu": payload, "overrides": [payload]},
                {"protocol": payload, "size": payload, "data": payload, "machine": {payload: payload}},
                {
                    "step": payload,
                    "device": payload,
                    "torch": payload,
                    "commit": payload,
                    "versions": {payload: payload},
                },
            )
        ):
            target = here / f"runs/{number}-{copy}"
            shutil.copytree(run, target)
            values = record | changes
            values["config"] = record["config"] | {"seed": number, "protocol": values["protocol"]}
            (target / "record.json").write_text(json.dumps(values))
    before = {path for path in folder.rglob("*") if here not in path.parents}
    with chdir(here):
        texts = {"markdown": "table runs", "csv": "table runs --csv", "latex": "table runs --latex"}
        for name, command in texts.items():
            status, output = _capture(command)
            if status:
                return f"{command}: status {status}"
            if fault := _text_fault(name, output):
                return fault
        for command in ("figures runs --out figures", "report runs --out report.html", "freeze mine --runs runs"):
            if problem := _run(f"modernet {command}", 0):
                return f"{command}: {problem}"
        tags = _Tags()
        tags.feed((here / "report.html").read_text())
        if tags.scripts != 2 or tags.faults:
            return f"report: {tags.scripts} scripts, {tags.faults[:3]}"
        for path in here.rglob("*.svg"):
            root = ElementTree.fromstring(path.read_text())
            if any(element.tag.endswith(("script", "foreignObject", "image")) for element in root.iter()):
                return f"{path.name} holds an element that runs or loads something"
        for name in ("markdown", "csv"):
            text = (here / f"results/studies/mine/table.{'md' if name == 'markdown' else 'csv'}").read_text()
            if fault := _text_fault(name, text.partition("-->\n")[2] or text):
                return f"freeze: {fault}"
    after = {path for path in folder.rglob("*") if here not in path.parents}
    return f"outside of the working folder: {sorted(map(str, after - before))[:3]}" if after != before else ""


def _capture(arguments: str) -> tuple[int, str]:
    words = [sys.executable, "-c", "from modernet.cli import main; main()", *arguments.split()]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout


CLOSED_SOCKETS = """
import sys
LOCAL = ("127.", "::1", "localhost")
def hook(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        address = arguments[0] if event in ("socket.getaddrinfo", "socket.gethostbyname") else arguments[-1]
        host = address[0] if isinstance(address, tuple) else address
        is_local = host is None or (isinstance(address, (str, bytes)) and event == "socket.connect")
        if not is_local and not str(host).startswith(LOCAL):
            open("network.log", "a").write(f"{event} {arguments[1:]}\\n")
            raise OSError(f"no network: {event} {arguments}")
sys.addaudithook(hook)
"""


def no_network(folder: Path) -> str:
    """Training with wandb's offline copy, tables, figures, the report and a plan, with every way out closed.

    An audit hook raises for connections of Python, and a proxy counts those of other programs, such as wandb's.
    """
    (folder / "hook").mkdir()
    (folder / "hook/sitecustomize.py").write_text(CLOSED_SOCKETS)
    connections: list[object] = []
    with create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"

        def count() -> None:
            while True:
                try:
                    connection, peer = server.accept()
                except OSError:
                    return
                connections.append(peer)
                connection.close()

        threading.Thread(target=count, daemon=True).start()
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), address)
        environment = (
            os.environ
            | proxies
            | {
                "PYTHONPATH": str(folder / "hook"),
                "NO_PROXY": "127.0.0.1,localhost",
                "WANDB_API_KEY": KEY,
            }
        )
        modernet = [sys.executable, "-c", "from modernet.cli import main; main()"]
        commands = [
            [sys.executable, str(REPOSITORY / "train.py"), *QUICK.split()[1:], "runs=results/runs"],
            [*modernet, "table"],
            [*modernet, "figures"],
            [*modernet, "report"],
            [*modernet, "plan", "seed=0"],
        ]
        output = ""
        for command in commands:
            result = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
            output += result.stdout + result.stderr
            if result.returncode:
                return f"{command[1:]}: status {result.returncode}: {result.stderr[-300:]}"
    if (folder / "network.log").exists() or connections:
        log = (folder / "network.log").read_text() if (folder / "network.log").exists() else ""
        return f"connections: {log[:300]} {connections[:3]}"
    if not any(folder.rglob("*.wandb")):
        return "wandb logged nothing, so the trial shows nothing"
    holders = [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    if holders or KEY in output:
        return f"wandb's key is in {holders[:3] or 'the output'}"
    return ""


ATTACKS: dict[str, Callable[[Path], str]] = {
    "a pickle as checkpoint": pickle_as_checkpoint,
    "a pickle as weights of a run": pickle_as_weights,
    "a pickle as pretrained file": pickle_as_pretrained_file,
    "a pickle in an .npz file": pickle_in_npz,
    "a pickle in shards": pickle_in_shards,
    "a command in data.root": commands_as_data_root,
    "a command in a record": commands_in_a_record,
    "shell characters in paths": shell_characters_in_paths,
    "Python in yaml": python_in_yaml,
    "archives with paths outside": archives_with_paths_outside,
    "hostile texts in records": hostile_records,
    "no network, no key of wandb in a file": no_network,
}


def attack(name: str, folder: Path) -> str:
    """Try one in an empty folder, in which it may work; why the product did not hold, or empty."""
    with chdir(folder):
        problem = ATTACKS[name](folder)
    if any(folder.rglob(MARKER)) or any(path.name == MARKER for path in REPOSITORY.iterdir()):
        return f"a command was executed; {problem}"
    return problem


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """Each attack once."""
    for name in ATTACKS:
        with TemporaryDirectory() as folder:
            try:
                problem = attack(name, Path(folder).resolve())
            except Exception as error:
                problem = f"raised {type(error).__name__}: {error}"
            yield Trial(name, not problem, problem)
