"""The status of a sweep follows from the files in the folders of its runs."""

import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import execution_config, short_experiment, stderr_terminal
from records import make_record

from modernet.record import write_record
from modernet.runtime.file_names import METRICS_FILE
from modernet.runtime.lock import run_lock
from modernet.sweeps import status
from modernet.sweeps.jobs import Job
from modernet.sweeps.status import SweepStatus, show_status


@pytest.fixture
def jobs(tmp_path) -> list[Job]:
    """Four runs of two epochs."""
    jobs = []
    for seed in range(4):
        folder = tmp_path / f"gelu-s{seed}"
        folder.mkdir()
        experiment = short_experiment("gelu", seed=seed)
        jobs.append(Job([f"seed={seed}"], experiment, folder, retry_failed=False, execution=execution_config()))
    return jobs


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time in seconds, which a test may change."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def write_done(job: Job, **changes) -> None:
    record = make_record("gelu", 96.14, job.experiment.seed, train_seconds=12.34, **changes)
    write_record(job.folder, replace(record, config=job.experiment.config))


def write_failed(job: Job, reason: str) -> None:
    write_done(job, status="failed", reason=reason)


def train_epochs(folder: Path, number: int) -> None:
    (folder / METRICS_FILE).write_text("{}\n" * number)


def test_each_finished_run_is_one_line(jobs):
    sweep = SweepStatus(jobs, jobs)
    assert sweep.update() == []
    write_done(jobs[1])
    assert sweep.update() == ["done 1/4: gelu, seed 1, digits: top-1 96.1 %, 12.3 s"]
    write_done(jobs[0])
    write_failed(jobs[3], "the loss of step 7 is not finite")
    assert sweep.update() == [
        "done 2/4: gelu, seed 0, digits: top-1 96.1 %, 12.3 s",
        "done 2/4, failed 1: gelu, seed 3, digits: failed: the loss of step 7 is not finite",
    ]
    assert sweep.update() == []


def test_runs_that_were_finished_before_are_counted(jobs):
    write_done(jobs[0])
    write_failed(jobs[1], "it broke")
    sweep = SweepStatus(jobs, jobs[2:])
    assert sweep.update() == []
    assert str(sweep) == "done 1/4, failed 1, running 0, ETA ?"


def test_a_failed_run_that_is_tried_again_counts_by_its_new_record(jobs):
    write_failed(jobs[0], "it broke")
    jobs = [replace(job, retry_failed=True) for job in jobs]
    sweep = SweepStatus(jobs, jobs)
    assert sweep.update() == []
    assert sweep.counts() == "done 0/4"
    write_done(jobs[0])
    assert len(sweep.update()) == 1
    assert sweep.counts() == "done 1/4"


def test_locked_runs_are_running(jobs):
    sweep = SweepStatus(jobs, jobs)
    with run_lock(jobs[0].folder), run_lock(jobs[2].folder):
        sweep.update()
        assert str(sweep) == "done 0/4, running 2, ETA ?"
    sweep.update()
    assert sweep.running == 0


def test_eta_follows_from_the_epochs_that_were_trained(jobs, clock):
    train_epochs(jobs[0].folder, 1)  # a resumed run: its first half was trained before
    sweep = SweepStatus(jobs, jobs)
    clock[0] += 60
    sweep.update()
    assert sweep.seconds_left() is None
    train_epochs(jobs[0].folder, 2)
    write_done(jobs[0])
    sweep.update()  # half a run took a minute, three runs are left
    assert sweep.seconds_left() == pytest.approx(360)
    assert str(sweep) == "done 1/4, running 0, ETA 6:00"
    clock[0] += 30  # it counts down between two epochs
    sweep.update()
    assert sweep.seconds_left() == pytest.approx(330)
    train_epochs(jobs[1].folder, 1)
    sweep.update()  # one run took 90 seconds
    assert sweep.seconds_left() == pytest.approx(2.5 * 90)


def test_failed_runs_do_not_shorten_the_eta(jobs, clock):
    sweep = SweepStatus(jobs, jobs)
    clock[0] += 5
    write_failed(jobs[0], "it broke")
    sweep.update()
    assert sweep.seconds_left() is None
    clock[0] += 95
    write_done(jobs[1])
    sweep.update()
    assert sweep.seconds_left() == pytest.approx(200)


def test_damaged_records_are_not_counted(jobs):
    sweep = SweepStatus(jobs, jobs)
    (jobs[0].folder / "record.json").write_text("{")
    assert sweep.update() == []
    assert sweep.counts() == "done 0/4"


def test_a_terminal_gets_one_line_that_is_redrawn(jobs):
    with stderr_terminal() as shown, show_status(jobs, jobs, interval=0.01), run_lock(jobs[1].folder):
        write_done(jobs[0])
        for _ in range(500):
            if b"done 1/4, running 1" in b"".join(shown):
                break
            time.sleep(0.01)
    text = b"".join(shown).decode().strip("\r\n")
    assert "\n" not in text
    assert "done 0/4, running 0, ETA ?" in text
    assert re.search(r"done 1/4, running 1, ETA \d+:\d\d", text)
    assert re.fullmatch(r"done 1/4 in \d+:\d\d", text.split("\r")[-1].strip())


def test_a_terminal_without_columns_gets_one_line_per_finished_run(jobs):
    with stderr_terminal(columns=0) as shown, show_status(jobs, jobs, interval=60):
        write_done(jobs[0])
    assert b"".join(shown).decode().strip() == "done 1/4: gelu, seed 0, digits: top-1 96.1 %, 12.3 s"


def test_a_log_gets_one_line_per_finished_run(jobs, capsys):
    with show_status(jobs, jobs, interval=60):
        write_done(jobs[0])  # between two polls
    assert capsys.readouterr().err == "done 1/4: gelu, seed 0, digits: top-1 96.1 %, 12.3 s\n"


def test_status_ends_where_the_sweep_raises(jobs, capsys):
    def stop() -> None:
        write_done(jobs[0])
        raise SystemExit(143)

    before = threading.enumerate()
    with pytest.raises(SystemExit), show_status(jobs, jobs, interval=60):
        stop()
    assert threading.enumerate() == before
    assert capsys.readouterr().err.startswith("done 1/4: ")


def test_result_of_a_failed_run_is_its_reason():
    record = make_record("gelu", 0.0, status="failed", reason="the loss of step 7 is not finite")
    assert status.format_result(record) == "failed: the loss of step 7 is not finite"
