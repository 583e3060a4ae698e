"""Commands that write tables, figures and the report of records, killed inside each write."""

import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trials.crashes import MOMENTS, kill_in_write
from trials.processes import EVERYTHING, run
from trials.trial import Trial

OUTPUTS = (  # verb, and a part of the name of a file that it writes
    *(("freeze", name) for name in ("table.md", "table.csv", "record.json", ".svg", ".pdf")),
    ("report", "report.html"),
)
WHAT = "SIGKILL inside the writes of a study's table and figures, and of the report"
CREATED = rb"\d{4}-\d\d-\d\d \d\d:\d\d UTC"  # the minute of the report


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """The same command repairs what a killed `freeze` or `report` left. `seed` is not used: nothing is random."""
    with tempfile.TemporaryDirectory(prefix="modernet-") as name:
        folder = Path(name)
        runs = folder / "runs"
        variants = ("-m", "model.act=relu,gelu", "model.norm=batch,layer", "hydra.launcher.n_jobs=1")
        trained = run(folder / "train", "train", *variants, *EVERYTHING, "wandb=disabled", f"runs={runs}")
        yield Trial("runs whose records are written", trained.status == 0, trained.err)
        yield from _inside_writes(folder, runs, short)


def _inside_writes(folder: Path, runs: Path, short: bool) -> Iterator[Trial]:
    commands = {"freeze": ("study", "--runs", runs), "report": (runs, "--out", "report.html")}
    expected = {verb: _write_output(folder / f"{verb}-whole", verb, words)[1] for verb, words in commands.items()}
    for verb, file in list(OUTPUTS)[-1:] if short else OUTPUTS:
        for moment in MOMENTS:
            here = folder / f"{verb}-{file.strip('.')}-{moment[:4]}"
            killing = {"prepare": kill_in_write, "prepare_arguments": (file, moment)}
            killed, between = _write_output(here, verb, commands[verb], **killing)
            torn = [path for path, content in between.items() if content != expected[verb].get(path)]
            status, after = _write_output(here, verb, commands[verb])
            held = (killed, status) == (-signal.SIGKILL, 0) and not torn and after == expected[verb] != {}
            yield Trial(WHAT, held, f"{verb}, {file}, {moment}: statuses {killed}, {status}; torn: {torn}; {here}")


def _write_output(
    folder: Path, verb: str, words: tuple[object, ...], **options: Any
) -> tuple[int | None, dict[str, bytes]]:
    """Status of a command that writes below its working folder, and the whole files that are there afterwards.

    Their content is without the time of the command.
    """
    here = folder / "work"
    here.mkdir(parents=True, exist_ok=True)
    status = run(folder, verb, *words, cwd=here, **options).status
    files = [path for path in here.rglob("*") if path.is_file() and path.suffix != ".part"]
    return status, {str(path.relative_to(here)): re.sub(CREATED, b"", path.read_bytes()) for path in files}
