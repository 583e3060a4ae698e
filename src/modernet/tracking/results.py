"""The results table at wandb: as text for a panel, and as the table of a run with job type `report`."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modernet.analysis.row import Row
from modernet.analysis.selection import select
from modernet.analysis.table import build_rows
from modernet.analysis.table_text import to_markdown
from modernet.runtime.file_names import RECORD_FILE
from modernet.runtime.io import find_files
from modernet.tracking.run_files import read_run_file

TABLE = "results"
COLUMNS = (
    *("protocol", "size", "changes", "variant", "n", "top1", "top1_std", "top1_low", "top1_high"),
    *("difference", "difference_low", "difference_high", "difference_holm", "gmacs", "params", "images_per_second"),
)


def load_rows(folders: Sequence[Path], protocol: str | None) -> list[Row]:
    """The rows of `modernet table` of the records below these folders; none where there are no records."""
    return build_rows(select(folders, protocol).records.values())


def results_text(rows: Sequence[Row]) -> str:
    """Means, standard deviations, intervals and differences as Markdown; one line where there are no records."""
    return to_markdown(list(rows)) if rows else "No records: `modernet dashboard --runs DIR` names their folder."


def projects_of(folders: Sequence[Path]) -> set[tuple[str | None, str]]:
    """Entity, None where a run was logged without one, and project of the wandb runs below folders of runs."""
    files = [read_run_file(path.parent) for folder in folders for path in find_files(folder, RECORD_FILE)]
    return {(file.get("entity") or None, file["project"]) for file in files if file.get("project")}


def log_results(rows: Sequence[Row], entity: str, project: str, title: str) -> str:
    """Log the table as a run of job type `report`, over the earlier one of this title; returns the run's link."""
    import wandb

    data: list[Any] = [[getattr(row, name) for name in COLUMNS] for row in rows if row.n]
    with tempfile.TemporaryDirectory(prefix="wandb-", ignore_cleanup_errors=True) as folder:
        run = wandb.init(
            entity=entity,
            project=project,
            dir=folder,
            mode="online",  # WANDB_MODE is that of trainings
            id=f"results-{hashlib.sha256(title.encode()).hexdigest()[:11]}",
            resume="allow",
            name=f"results: {title}",
            job_type="report",
            settings=wandb.Settings(silent=True, console="off"),
        )
        run.log({TABLE: wandb.Table(columns=list(COLUMNS), data=data)})
        run.finish()
        return str(run.url)
