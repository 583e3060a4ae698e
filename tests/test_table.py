"""Tables follow from the records alone, and leave nothing out silently."""

import json
import statistics
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from conftest import ROOT, run
from scipy import stats as scipy_stats

from modernet import record, table
from modernet.record import Record
from modernet.stats import difference, spread


def made(step: str, top1: float, seed: int = 0, variant: str | None = None, **changes) -> Record:
    """A record with this result."""
    base = Record(
        step=step,
        variant=variant or step,
        protocol="digits",
        size="micro",
        seed=seed,
        data="digits",
        recipe="modern",
        params=500_000,
        gmacs=0.0123,
        top1=top1,
        top5=99.0,
        val_loss=0.5,
        epochs=2,
        train_seconds=3.0,
        images_per_second=900.0,
        device="cpu",
        torch="2.15.0",
        commit=None,
        status="done",
        config={"seed": seed, "model": {"act": variant or step}},
    )
    return replace(base, **changes)


@pytest.fixture
def runs(tmp_path):
    """Three seeds of two steps, a variant of each kind, and a run of another protocol."""
    records = [
        *[made("modern_recipe", top1, seed) for seed, top1 in enumerate((90.0, 91.0, 92.0))],
        *[made("stage_ratio", top1, seed) for seed, top1 in enumerate((92.0, 93.0, 94.5))],
        made("move_up_depthwise", 80.0),
        *[
            made("move_up_depthwise", 80.0 + kernel, variant=f"move_up_depthwise+kernel_size={kernel}")
            for kernel in (11, 5, 9)
        ],
        made("gelu", 70.0, variant="gelu+recipe.epochs=3"),
        made("kernel_size", 71.0, variant="kernel_size+recipe.epochs=3"),
        made("gelu", 60.0, protocol="cifar10_micro", data="cifar10"),
    ]
    for number, one in enumerate(records):
        folder = tmp_path / "runs" / one.protocol / str(number)
        folder.mkdir(parents=True)
        record.write(folder, one)
        (folder / "metrics.jsonl").write_text("{}\n")
        (folder / "checkpoint.pt").write_bytes(b"weights")
    return tmp_path / "runs"


def test_a_record_comes_back_as_it_was(tmp_path):
    one = made("gelu", 71.25)
    assert record.read(record.write(tmp_path, one)) == one
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_the_markdown_is_this(runs):
    text = table.markdown(table.rows(table.collect(runs, "digits").records.values()))
    assert text == (ROOT / "tests/golden_table.md").read_text()


def test_json_and_csv_say_the_same(runs):
    rows = json.loads(run("scripts/table.py", runs, "--json").stdout)
    lines = run("scripts/table.py", runs, "--csv").stdout.strip().splitlines()
    assert lines[0].split(",") == list(rows[0])
    assert len(lines) - 1 == len(rows)
    ratio = next(row for row in rows if (row["protocol"], row["variant"]) == ("digits", "stage_ratio"))
    expected = {
        "n": 3,
        "top1": pytest.approx(93 + 1 / 6),
        "before": "modern_recipe",
        "difference": pytest.approx(2 + 1 / 6),
    }
    assert {name: ratio[name] for name in expected} == expected
    assert ratio["difference_low"] < 2 < ratio["difference_high"]
    not_run = next(row for row in rows if row["variant"] == "convnext")
    assert (not_run["n"], not_run["top1"]) == (0, None)


def test_protocol_chooses(runs):
    rows = json.loads(run("scripts/table.py", runs, "--protocol", "cifar10_micro", "--json").stdout)
    assert {row["protocol"] for row in rows} == {"cifar10_micro"}
    assert [row["variant"] for row in rows if row["n"]] == ["gelu"]


def test_what_cannot_be_compared_is_left_out_by_path(runs):
    folder = runs / "digits"
    for name in ("broken", "failed", "other", "twice", "alien"):
        (folder / name).mkdir()
    (folder / "broken/record.json").write_text('{"step": "gelu"')
    record.write(folder / "failed", made("gelu", 0.0, status="failed"))
    record.write(folder / "other", made("stage_ratio", 10.0, 9, config={"seed": 9, "model": {"act": "other"}}))
    record.write(folder / "twice", made("stage_ratio", 10.0, 0))
    alien = asdict(made("gelu", 1.0)) | {"colour": "red"}
    (folder / "alien/record.json").write_text(json.dumps(alien))
    found = table.collect(runs)
    assert len(found.records) == 13
    assert {Path(line.split(":")[0]).parent.name for line in found.left_out} == {
        "broken",
        "failed",
        "other",
        "twice",
        "alien",
    }
    result = run("scripts/table.py", runs)
    assert result.returncode == 0
    assert len([line for line in result.stderr.splitlines() if line.startswith("left out: ")]) == 5


def test_no_record_is_one_line_and_status_2(tmp_path):
    for arguments in ([tmp_path], [tmp_path, "--protocol", "imagenet"]):
        result = run("scripts/table.py", *arguments)
        assert result.returncode == 2
        assert result.stderr.startswith("table.py: error: there is no finished record")
        assert len(result.stderr.splitlines()) == 1


def test_freeze_copies_evidence_without_weights_and_adds_to_a_study(runs, tmp_path):
    def freeze(*arguments: object):
        return run(ROOT / "scripts/freeze.py", *arguments, "--runs", runs, cwd=tmp_path)

    result = freeze("mine", "--protocol", "cifar10_micro")
    assert result.stdout.strip() == "results/studies/mine/table.md"
    study = tmp_path / "results/studies/mine"
    assert sorted(path.name for path in study.rglob("*.*")) == ["metrics.jsonl", "record.json", "table.csv", "table.md"]
    assert "60.00" in (study / "table.md").read_text()
    assert freeze("mine").returncode == 0
    assert len(list(study.rglob("record.json"))) == 13
    assert table.markdown(table.rows(table.collect(runs).records.values())) in (study / "table.md").read_text()
    for name in ("../elsewhere", "a/b", ""):
        assert freeze(name).returncode == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "runs"]


def test_intervals_are_welchs():
    after, before = [92.0, 93.0, 94.5], [90.0, 91.0, 92.0, 90.5]
    found = difference(after, before)
    # Welch-Satterthwaite by hand
    a, b = (statistics.variance(values) / len(values) for values in (after, before))
    freedom = (a + b) ** 2 / (a**2 / 2 + b**2 / 3)
    half = scipy_stats.t.ppf(0.975, freedom) * (a + b) ** 0.5
    gap = statistics.mean(after) - statistics.mean(before)
    assert (found.mean, found.low, found.high) == pytest.approx((gap, gap - half, gap + half))


def test_a_single_run_has_no_spread_and_no_interval():
    assert spread([90.0]) is None
    assert difference([91.0], [90.0, 90.5]).low is None
    assert difference([91.0, 91.0], [90.0, 90.0]).low == 1.0
