"""scripts/reliability.py: the short form of its trials, and what it writes."""

import json
import signal
import sys

import pytest
import reliability
from reliability import END, PARTS, START
from trials.processes import Result, start
from trials.trial import Trial

TESTED_ELSEWHERE = {"commands", "safety", "slurm"}  # in test_wrong_commands.py, test_safety.py, test_slurm.py
TIMED = {"scale"}  # its limits are seconds, which no test asserts


@pytest.mark.slow
@pytest.mark.parametrize("part", sorted(PARTS.keys() - TESTED_ELSEWHERE - TIMED))
def test_every_trial_of_the_short_form_holds(part):
    trials = list(PARTS[part](True, 0))
    assert trials
    assert [(trial.what, trial.detail) for trial in trials if not trial.held] == []


@pytest.mark.slow
def test_commands_of_the_part_scale_succeed():
    trials = list(PARTS["scale"](True, 0))
    assert trials
    assert [trial for trial in trials if not trial.detail.endswith("exit status 0")] == []


@pytest.mark.slow
def test_a_command_that_is_killed_before_it_opens_its_output_has_none(tmp_path):
    command = start(tmp_path, "table", tmp_path)
    command.kill(signal.SIGKILL)
    assert command.wait() == Result(-signal.SIGKILL, "", "")


def raise_error(short, seed):
    yield Trial("a trial before the error", True)
    raise RuntimeError("of the trial")


@pytest.fixture
def run_main(monkeypatch, tmp_path):
    """Runs the script with parts of a few trials; the folder holds what it writes."""
    parts = {
        "holds": lambda short, seed: iter([Trial("a", True), Trial("a", True)]),
        "fails": lambda short, seed: iter([Trial("b", seed > 0, "why")]),
        "raises": raise_error,
    }
    monkeypatch.setattr(reliability, "PARTS", parts)
    monkeypatch.setattr(reliability, "RESULTS", tmp_path / "reliability.json")
    monkeypatch.setattr(reliability, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text(f"before\n{START}\nold\n{END}\nafter\n")

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["reliability.py", *words])
        with pytest.raises(SystemExit) as end:
            reliability.main()
        return int(end.value.code or 0)

    return run


def test_parts_are_written_with_their_origin_and_the_other_parts_stay(run_main, tmp_path):
    assert run_main("--parts", "fails,holds", "--seed", "3") == 0
    assert run_main("--parts", "fails") == 1
    results = json.loads((tmp_path / "reliability.json").read_text())
    assert list(results) == ["holds", "fails"]
    assert results["holds"]["rows"] == {"a": {"tried": 2, "held": 2}}
    assert results["fails"]["rows"] == {"b": {"tried": 1, "held": 0}}
    assert [results[name]["seed"] for name in results] == [3, 0]
    page = (tmp_path / "page.md").read_text()
    assert page.startswith(f"before\n{START}\n\n| part ")
    assert page.endswith(f"{END}\nafter\n")
    assert "\nold\n" not in page
    rows = [[word.strip() for word in line.strip("|").split("|")] for line in page.splitlines() if "| " in line]
    assert ["holds", "a", "2", "2"] in rows
    assert [row[3] for row in rows if len(row) == 5] == ["seed", "3", "0"]


def test_an_error_of_a_part_is_a_failed_trial_and_the_next_part_runs(run_main, tmp_path, capsys):
    assert run_main("--parts", "raises,holds") == 1
    results = json.loads((tmp_path / "reliability.json").read_text())
    assert results["raises"]["rows"] == {
        "a trial before the error": {"tried": 1, "held": 1},
        "the part's own code raises no error": {"tried": 1, "held": 0},
    }
    assert results["holds"]["rows"] == {"a": {"tried": 2, "held": 2}}
    assert "RuntimeError: of the trial" in capsys.readouterr().err


def test_the_short_form_writes_nothing(run_main, tmp_path):
    before = (tmp_path / "page.md").read_text()
    assert run_main("--short", "--parts", "holds") == 0
    assert not (tmp_path / "reliability.json").exists()
    assert (tmp_path / "page.md").read_text() == before
