"""Hostile texts: in records, which go into tables, figures, pages and file names, and in names of folders."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from contextlib import chdir
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from trials.commands import REPOSITORY
from trials.hostile import RUN, finished_run, run_problem
from trials.images import encode_image

DEPTH = "a/b/c/d/e"  # of the working folder below the compared one, so that `../` of a payload stays inside the latter
WRITTEN = {"runs", "figures", "report.html", "results", "page.md", "scores"}  # what the commands write, by their names
WIDTH = 8  # of the trained run
# Texts of a record for each format that may hold code.
PAYLOADS = (
    "gelu+act=</script><script>alert(1)</script><img src=x onerror=alert(1)>",
    "=cmd|' /C touch pwned'!A1",
    "@SUM(1+1)*cmd|' /C touch pwned'!A1",
    "+1+cmd",
    "gelu\n\n# heading\n![image](http://192.0.2.1/x.png) [link](javascript:alert(1))",
    r"gelu\input{/etc/passwd}\immediate\write18{touch pwned}$x^2$",
    "gelu\x1b]0;title\x07\x1b[2J",
    *(f"{'../' * number}outside" for number in range(1, 6)),
    "{{ 7 * 7 }}{% include '/etc/passwd' %}",
)


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
        if problem := run_problem(f"""{RUN} 'runs="{name}"'""", 0):
            return f"{name}: {problem}"
        for verb in ("table", "figures", "report --out x.html", "sync"):
            run_problem(f"modernet {verb} '{name}'")
    return ""


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


def _write_hostile(run: Path, runs: Path) -> None:
    """Copies of a finished run, each with a hostile text in a third of the fields."""
    record = json.loads((run / "record.json").read_text())
    fields = (
        ("variant", "recipe", "host", "cpu", "overrides"),
        ("protocol", "size", "data", "machine"),
        ("step", "device", "torch", "commit", "versions"),
    )
    for number, payload in enumerate(PAYLOADS):
        wrap = {"overrides": [payload], "machine": {payload: payload}, "versions": {payload: payload}}
        for copy, names in enumerate(fields):
            target = runs / f"{number}-{copy}"
            shutil.copytree(run, target)
            values = record | {name: wrap.get(name, payload) for name in names}
            model = record["config"]["model"] | {"width": WIDTH + len(fields) * number + copy}  # another network each
            values["config"] = record["config"] | {"model": model, "protocol": values["protocol"]}
            (target / "record.json").write_text(json.dumps(values))


def texts_in_records(folder: Path) -> str:
    """Texts of records in tables, figures, pages and file names."""
    run, here = finished_run(folder), folder / DEPTH / "work"
    _write_hostile(run, here / "runs")
    shutil.copy(REPOSITORY / "results/STUDY.md", here / "page.md")
    before = _outside(folder, here)
    with chdir(here):
        problem = _text_problem() or _output_problem() or _freeze_problem()
    if problem:
        return problem
    new = {path.name for path in here.iterdir()} - WRITTEN | _outside(folder, here) ^ before
    return f"outside of what the commands name: {sorted(map(str, new))[:3]}" if new else ""


def _outside(folder: Path, here: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if here not in path.parents}


def _text_problem() -> str:
    formats = {"markdown": "", "csv": "--csv", "latex": "--latex"}
    for name, option in formats.items():
        compare = f"compare model.width=={WIDTH} model.width>{WIDTH} --runs runs --protocol digits"
        for command in (f"table runs {option}", f"{compare} {option}"):
            status, output = _capture(command)
            if status:
                return f"{command}: status {status}"
            if fault := _text_fault(name, output):
                return f"{command}: {fault}"
    return ""


def _output_problem() -> str:
    commands = ("figures runs --out figures", "report runs --out report.html", "evaluate runs/0-0 --out scores")
    for command in commands:
        if problem := run_problem(f"modernet {command}", 0):
            return f"{command}: {problem}"
    tags = _Tags()
    tags.feed(Path("report.html").read_text())
    if tags.scripts != 2 or tags.faults:
        return f"report: {tags.scripts} scripts, {tags.faults[:3]}"
    return "".join(map(_svg_fault, Path().rglob("*.svg")))


def _svg_fault(path: Path) -> str:
    """A confusion matrix is an image inside of its file."""
    for element in ElementTree.fromstring(path.read_text()).iter():
        address = element.get("{http://www.w3.org/1999/xlink}href", "")
        loads = element.tag.endswith("image") and not address.startswith("data:image/png;base64,")
        if loads or element.tag.endswith(("script", "foreignObject")):
            return f"{path.name} holds an element that runs or loads something"
    return ""


def _freeze_problem() -> str:
    """Of the commands that write below results/, as those of the committed studies do."""
    commands = {
        "freeze mine --runs runs": 0,
        "study results/studies --page page.md": 0,
        "attribution report --orders 2 runs=results/studies/mine": 2,  # which misses most networks
    }
    for command, status in commands.items():
        if problem := run_problem(f"modernet {command}", status):
            return f"{command}: {problem}"
    for name, suffix in (("markdown", "md"), ("csv", "csv")):
        text = Path(f"results/studies/mine/table.{suffix}").read_text()
        if fault := _text_fault(name, text.partition("-->\n")[2] or text):
            return f"freeze: {fault}"
    return ""


def names_of_classes(folder: Path) -> str:
    """Folders of classes with hostile names, in the files and the table of an evaluation."""
    names = {payload.replace("/", "|") for payload in PAYLOADS}
    for split in ("train", "val"):
        for number, name in enumerate(sorted(names)):
            (folder / "data" / split / name).mkdir(parents=True)
            for copy in range(4):
                (folder / "data" / split / name / f"{copy}.jpg").write_bytes(encode_image(10 * number + copy))
    words = "train.py +step=gelu data=folder data.root=data data.image_size=32 recipe.epochs=1 recipe.warmup_epochs=0"
    words += " recipe.batch_size=4 model.width=8 num_workers=0 wandb=disabled runs=runs"
    if problem := run_problem(words, 0):
        return problem
    (record,) = folder.glob("runs/**/record.json")
    shutil.move(record.parent, folder / "run")  # a name without characters of a shell
    status, output = _capture("evaluate run --out scores")
    if status:
        return f"evaluate: status {status}"
    texts = {"markdown": output} | {f"csv of {path.name}": path.read_text() for path in folder.glob("scores/*.csv")}
    for name, text in texts.items():
        if fault := _text_fault(name.split()[0], text):
            return f"evaluate: {name}: {fault}"
    if fault := _svg_fault(folder / "scores/confusion.svg"):
        return fault
    left = {path.name for path in folder.iterdir()} - {"data", "runs", "run", "scores"}
    return f"left {sorted(left)}" if left else ""


def _capture(arguments: str) -> tuple[int, str]:
    words = [sys.executable, "-c", "from modernet.cli import main; main()", *arguments.split()]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout
