"""Commands with every way out of the machine closed."""

import os
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from socket import create_server

from trials.commands import REPOSITORY
from trials.hostile import KEY, QUICK

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

# Of modernet, after a training of two variants; RUN is the folder of one.
COMMANDS = (
    *("table", "figures", "report", "plan seed=0", "costs", "compare \"model.act=='relu'\" \"model.act=='gelu'\""),
    *("evaluate RUN", "export RUN weights.safetensors", "freeze mine"),
    *("study --page page.md", "attribution plan --orders 2"),
)


# One process runs them, as each start would import torch again. The line on stderr names the one that fails.
RUN_COMMANDS = """
import shlex, sys
from modernet.cli import main
for command in sys.argv[1:]:
    print("modernet", command, file=sys.stderr)
    sys.argv = ["modernet", *shlex.split(command)]
    main()
"""


def no_network(folder: Path) -> str:
    """Training with wandb's offline copy and COMMANDS, with every way out closed.

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
        sweep = ["-m", "model.act=relu,gelu", *QUICK.split()[1:], "runs=results/runs"]
        shutil.copy(REPOSITORY / "results/STUDY.md", folder / "page.md")
        output = ""

        def run(*words: str) -> str:
            """Run Python with these words; why it failed, or empty."""
            nonlocal output
            result = subprocess.run(
                [sys.executable, *words],
                env=environment,
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=900,
            )
            output += result.stdout + result.stderr
            return f"{words[:1]}: status {result.returncode}: {result.stderr[-300:]}" if result.returncode else ""

        if problem := run(str(REPOSITORY / "train.py"), *sweep):
            return problem
        folder_of_run = shlex.quote(str(next(folder.glob("results/runs/*/*"))))
        if problem := run("-c", RUN_COMMANDS, *(command.replace("RUN", folder_of_run) for command in COMMANDS)):
            return problem
    log = (folder / "network.log").read_text() if (folder / "network.log").exists() else ""
    if log or connections:
        return f"connections: {log[:300]} {connections[:3]}"
    if not any(folder.rglob("*.wandb")):
        return "wandb logged nothing, so the trial shows nothing"
    holders = [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    if holders or KEY in output:
        return f"wandb's key is in {holders[:3] or 'the output'}"
    return ""
