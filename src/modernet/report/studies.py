"""From folders to studies: their records, their attributions, and paths that may be published."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modernet.analysis.selection import no_records_error, select
from modernet.analysis.where import Where
from modernet.attribution.formatting import ATTRIBUTION_FILE, LoadedAttribution, load_attribution
from modernet.errors import UserError
from modernet.record import Record
from modernet.runtime.file_names import RECORD_FILE
from modernet.runtime.io import find_files

RUNS, ATTRIBUTION, STUDIES = Path("results/runs"), Path("results/attribution"), Path("results/studies")


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
        return decode_path(text.replace(f"{self.folder}{os.sep}", ""))


def decode_path(path: str | Path) -> str:
    """A file name as text; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path).decode(errors="replace")


def display_path(path: Path) -> str:
    """A path that may be published: relative to the working directory, or the last part of any other path."""
    here, absolute = Path.cwd().resolve(), path.resolve()
    return decode_path(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute.name)


def default_folders() -> list[Path]:
    """results/runs and results/attribution, or where nothing was run, every folder of results/studies."""
    if find_files(RUNS, RECORD_FILE):
        return [RUNS, *([ATTRIBUTION] if ATTRIBUTION.is_dir() else [])]
    return sorted(path for path in STUDIES.glob("*") if path.is_dir())


def load_studies(
    folders: Sequence[Path], protocol: str | None = None, where: Where | None = None, merged: Sequence[Path] = ()
) -> list[Study]:
    """One study per folder, and one of all `merged` folders; of one protocol or of all, and of a filter.

    Raises UserError for a missing folder, and where no folder holds a finished record.
    """
    distinct = {folder.resolve(): folder for folder in folders}
    studies = [_load_study([folder], protocol, where) for folder in distinct.values()]
    if merged:
        studies.append(_load_study(merged, protocol, where))
    if not any(study.records for study in studies):
        searched = [*folders, *merged] or [RUNS, STUDIES]
        raise no_records_error(searched, protocol, where)
    return studies


def _load_study(folders: Sequence[Path], protocol: str | None, where: Where | None) -> Study:
    """The study of a folder, or of several as one; its paths are then relative to the folder above all of them."""
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise UserError(f"there is no folder {missing[0]}")
    absolute = [folder.resolve() for folder in folders]
    selection = select(absolute, protocol, where)
    name = " + ".join(dict.fromkeys(map(display_path, folders)))
    study = Study(name, Path(os.path.commonpath(absolute)), selection.records, {}, [])
    study.excluded.extend(map(study.make_relative, selection.excluded))
    for path in sorted({path for folder in absolute for path in find_files(folder, ATTRIBUTION_FILE)}):
        name = study.make_relative(str(path))
        try:
            attribution = load_attribution(path)
        except (OSError, ValueError) as error:
            study.excluded.append(f"{name}: {study.make_relative(str(error)).splitlines()[0]}")
            continue
        if protocol in (None, attribution.protocol):
            study.attributions[name] = attribution
    return study
