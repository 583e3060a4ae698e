"""From folders to studies: their records, their attributions, and paths that may be published."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modernet.analysis.selection import select
from modernet.attribution.formatting import LoadedAttribution, load_attribution
from modernet.errors import UserError
from modernet.record import Record, record_paths

RUNS, ATTRIBUTION, STUDIES = Path("results/runs"), Path("results/attribution"), Path("results/studies")
ATTRIBUTION_FILE = "attribution.json"


@dataclass(frozen=True)
class Study:
    """The content of one folder. Paths in texts are relative to it, so they say nothing about this machine."""

    name: str  # as display_path(folder)
    folder: Path  # absolute
    records: dict[Path, Record]
    attributions: dict[str, LoadedAttribution]  # by path
    excluded: list[str]  # a line for each file that is not used

    @property
    def title(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    def make_relative(self, text: str) -> str:
        """The text with paths of this study relative to its folder."""
        return to_printable(text.replace(f"{self.folder}{os.sep}", ""))


def to_printable(path: str | Path) -> str:
    """A file name as text; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path).decode(errors="replace")


def display_path(path: Path) -> str:
    """A path that may be published: relative to the working directory, or the last part of any other path."""
    here, absolute = Path.cwd().resolve(), path.resolve()
    return to_printable(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute.name)


def default_folders() -> list[Path]:
    """results/runs and results/attribution, or where nothing was run, every folder of results/studies."""
    if any(record_paths(RUNS)):
        return [RUNS, *([ATTRIBUTION] if ATTRIBUTION.is_dir() else [])]
    return sorted(path for path in STUDIES.glob("*") if path.is_dir())


def load_studies(folders: Sequence[Path], protocol: str | None = None) -> list[Study]:
    """One study per folder, of one protocol or of all.

    Raises UserError for a missing folder, and where no folder holds a finished record.
    """
    distinct = {folder.resolve(): folder for folder in folders}
    studies = [_load_study(folder, protocol) for folder in distinct.values()]
    if not any(study.records for study in studies):
        of_protocol = f" of protocol {protocol}" if protocol else ""
        searched = ", ".join(map(str, folders)) or f"{RUNS} and {STUDIES}"
        raise UserError(
            f"there is no finished record{of_protocol} below {searched}; `python train.py --help` explains how to train"
        )
    return studies


def _load_study(folder: Path, protocol: str | None) -> Study:
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    absolute = folder.resolve()
    selection = select(absolute, protocol)
    study = Study(display_path(folder), absolute, selection.records, {}, [])
    study.excluded.extend(map(study.make_relative, selection.excluded))
    for path in sorted(absolute.rglob(ATTRIBUTION_FILE)):
        name = study.make_relative(str(path))
        try:
            attribution = load_attribution(path)
        except (OSError, ValueError) as error:
            study.excluded.append(f"{name}: {study.make_relative(str(error)).splitlines()[0]}")
            continue
        if protocol in (None, attribution.protocol):
            study.attributions[name] = attribution
    return study
