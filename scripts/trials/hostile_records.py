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

from trials.hostile import RUN, finished_run, run_problem

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


def texts_in_records(folder: Path) -> str:
    """Texts of records in tables, figures, pages and file names."""
    run = finished_run(folder)
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
            if problem := run_problem(f"modernet {command}", 0):
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
