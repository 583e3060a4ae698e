"""Finished runs that have another name than the command gives them: a run keeps the name that it was trained under."""

from collections.abc import Iterable
from pathlib import Path

from modernet.config.experiment import Experiment
from modernet.config.roadmap import is_known
from modernet.record import Record
from modernet.runtime.file_names import RECORD_FILE


def name_warnings(finished: Iterable[tuple[Path, Record, Experiment]]) -> list[str]:
    """A line for each pair of names, of folders with their records and what the command asks for.

    Failed runs have none, as no table lists them.
    """
    found: dict[tuple[str, str], list[tuple[Path, Record, Experiment]]] = {}
    for one in finished:
        _, record, experiment = one
        if record.status == "done" and record.variant != experiment.variant:
            found.setdefault((record.variant, experiment.variant), []).append(one)
    return [_describe(*runs[0], len(runs) - 1) for runs in found.values()]


def _describe(folder: Path, record: Record, experiment: Experiment, others: int) -> str:
    path = folder / RECORD_FILE
    more = f" (and {others} more)" if others else ""
    if is_known(record.step, record.size):
        return (
            f"{path}{more} is the run of {experiment.variant} under another name, {record.variant}, by which tables "
            "list it"
        )
    return (
        f"{path}{more} is of the step {record.step}, which is not here, so that no table has it; without its folder "
        f"the same run is trained as {experiment.variant}"
    )
