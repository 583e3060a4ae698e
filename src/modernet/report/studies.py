"""Folders of records and attributions -> what a report is of, with paths that may be published."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modernet.attribution.measures import measures as attribution
from modernet import record
from modernet.analysis import table
from modernet.attribution.measures import Written
from modernet.errors import UserError
from modernet.record import Record

RUNS, ATTRIBUTION, STUDIES = Path("results/runs"), Path("results/attribution"), Path("results/studies")


@dataclass(frozen=True)
class Study:
    """What lies in one folder, and a line for each file that was left out. Paths in lines are relative to it."""

    name: str
    folder: Path  # absolute
    records: dict[Path, Record]
    attributions: dict[str, Written]  # by path
    left_out: list[str]

    @property
    def title(self) -> str:
        return self.name.rpartition("/")[2]

    def relative(self, text: str) -> str:
        """A line without where this machine has the folder."""
        return printable(text.replace(f"{self.folder}{os.sep}", ""))


def printable(path: str | Path) -> str:
    """With a mark for what is not UTF-8 in the name of a file."""
    return os.fsencode(path).decode(errors="replace")


def shown(path: Path) -> str:
    """A path as it may be published: from here down, or its last part alone."""
    here, whole = Path.cwd().resolve(), path.resolve()
    return printable(whole.relative_to(here) if whole.is_relative_to(here) else whole.name)


def default_folders() -> list[Path]:
    """What a report is of where nobody says: the runs if there are some, else the committed studies."""
    if any(record.paths(RUNS)):
        return [RUNS, *([ATTRIBUTION] if ATTRIBUTION.is_dir() else [])]
    return sorted(path for path in STUDIES.glob("*") if path.is_dir())


def _read(folder: Path, protocol: str | None) -> Study:
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    whole = folder.resolve()
    found = table.collect(whole, protocol)
    study = Study(shown(folder), whole, found.records, {}, [])
    study.left_out.extend(map(study.relative, found.left_out))
    for path in sorted(whole.rglob("attribution.json")):
        name = study.relative(str(path))
        try:
            written = attribution.read(path)
        except (OSError, ValueError) as error:
            study.left_out.append(f"{name}: {study.relative(str(error)).splitlines()[0]}")
            continue
        if protocol in (None, written.protocol):
            study.attributions[name] = written
    return study


def read(folders: Sequence[Path], protocol: str | None = None) -> list[Study]:
    """A study a folder. Raises UserError for a folder that is none, or where no folder holds a finished record."""
    studies = [_read(folder, protocol) for folder in {folder.resolve(): folder for folder in folders}.values()]
    if not any(study.records for study in studies):
        of = f" of protocol {protocol}" if protocol else ""
        places = ", ".join(map(str, folders)) or f"{RUNS} and {STUDIES}"
        raise UserError(
            f"there is no finished record{of} below {places}; `python train.py --help` says how to make some"
        )
    return studies
