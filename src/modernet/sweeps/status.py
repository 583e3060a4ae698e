"""Status of a sweep while it runs: one line that is redrawn on a terminal, elsewhere one line per finished run.

It follows from the files in the runs' folders alone, so it is the same for every launcher.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from modernet.errors import UserError
from modernet.record import Record, find_record
from modernet.runtime.file_names import METRICS_FILE, RECORD_FILE
from modernet.runtime.lock import is_locked
from modernet.runtime.streams import is_terminal
from modernet.sweeps.jobs import Job
from modernet.training.progress import format_clock

POLL_SECONDS = 1.0


def _modification_time(path: Path) -> int | None:
    """In nanoseconds; None where there is no file."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _fraction_trained(job: Job) -> float:
    """The part of the run's epochs that metrics.jsonl has."""
    try:
        with (job.folder / METRICS_FILE).open("rb") as lines:
            return min(sum(1 for _ in lines) / job.experiment.recipe.epochs, 1.0)
    except OSError:
        return 0.0


def _read_record(job: Job) -> Record | None:
    """The run's record; None where it is missing or damaged."""
    try:
        return find_record(job.folder)
    except UserError:
        return None


def format_result(record: Record) -> str:
    """Outcome of a finished run: `top-1 96.1 %, 12.3 s`, or `failed: ` and the reason."""
    if record.status == "failed":
        return f"failed: {record.reason}"
    return f"top-1 {record.top1:.1f} %, {record.train_seconds:.1f} s"


def _is_running(job: Job) -> bool:
    try:
        return is_locked(job.folder)
    except OSError:  # the run finished in this instant, and its lock is gone
        return False


class SweepStatus:
    """Counts of a sweep's runs and the time that is left. `update` reads the folders of the runs in `todo`."""

    def __init__(self, jobs: list[Job], todo: list[Job]) -> None:
        finished = [record for job in jobs if job not in todo and (record := job.result())]
        self.total = len(jobs)
        self.done = sum(record.status == "done" for record in finished)
        self.failed = len(finished) - self.done
        self.running = 0
        self.unfinished = list(todo)
        self.records_before = {job.folder: _modification_time(job.folder / RECORD_FILE) for job in todo}
        self.trained_before = {job.folder: _fraction_trained(job) for job in todo}
        self.completed = 0.0  # runs' worth of epochs since the start, in runs that are done
        self.trained, self.left = 0.0, float(len(todo))  # runs' worth of epochs since the start, and still to train
        self.started = self.trained_at = time.monotonic()

    def __str__(self) -> str:
        """`done 4/15, running 2, ETA 1:12`."""
        seconds = self.seconds_left()
        return f"{self.counts()}, running {self.running}, ETA {'?' if seconds is None else format_clock(seconds)}"

    def counts(self) -> str:
        """`done 4/15`, and the number of failed runs where there are any."""
        return f"done {self.done}/{self.total}" + (f", failed {self.failed}" if self.failed else "")

    def seconds_left(self) -> float | None:
        """Seconds until the sweep ends, at its speed up to the last epoch; None before the first epoch."""
        if not self.trained:
            return None
        seconds_per_run = (self.trained_at - self.started) / self.trained
        return max(self.left * seconds_per_run - (time.monotonic() - self.trained_at), 0.0)

    def update(self) -> list[str]:
        """Read the folders; returns a line for each run that finished since the last call."""
        lines = [line for job in self.unfinished.copy() if (line := self._check_finished(job))]
        fractions = {job.folder: _fraction_trained(job) for job in self.unfinished}
        self.running = sum(map(_is_running, self.unfinished))
        self.left = sum(1 - fraction for fraction in fractions.values())
        partly = sum(max(fraction - self.trained_before[folder], 0) for folder, fraction in fractions.items())
        if self.completed + partly > self.trained:
            self.trained, self.trained_at = self.completed + partly, time.monotonic()
        return lines

    def _check_finished(self, job: Job) -> str | None:
        """The line of a run that has a new record; None for other runs."""
        if _modification_time(job.folder / RECORD_FILE) == self.records_before[job.folder]:
            return None
        record = _read_record(job)
        if record is None:
            return None
        self.unfinished.remove(job)
        if record.status == "done":
            self.done += 1
            self.completed += 1 - self.trained_before[job.folder]
        else:
            self.failed += 1
        return f"{self.counts()}: {job.experiment.title}: {format_result(record)}"


@contextmanager
def show_status(jobs: list[Job], todo: list[Job], interval: float = POLL_SECONDS) -> Iterator[None]:
    """Show on stderr how a sweep proceeds, in a thread that reads the folders every `interval` seconds."""
    status = SweepStatus(jobs, todo)
    on_terminal = is_terminal(sys.stderr)
    ended = threading.Event()

    def show() -> None:
        lines = status.update()
        bar.set_description_str(str(status))
        if not on_terminal:
            print(*lines, sep="\n", end="\n" * bool(lines), file=sys.stderr, flush=True)

    def poll() -> None:
        while not ended.wait(interval):
            show()

    with tqdm(bar_format="{desc}", dynamic_ncols=True, disable=not on_terminal) as bar:
        show()
        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            show()
            bar.set_description_str(f"{status.counts()} in {format_clock(time.monotonic() - status.started)}")
