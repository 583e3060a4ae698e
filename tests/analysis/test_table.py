"""Tables follow from the records alone, and leave nothing out silently."""

import csv
import json
from dataclasses import asdict, replace
from itertools import count
from math import sqrt
from pathlib import Path
from statistics import pvariance

import pytest
from helpers import ROOT, run_script
from scipy import stats as scipy_stats

from modernet.analysis import formatting as formats
from modernet import record
from modernet.analysis import table
from modernet.record import Record


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
        images_per_second=900.0 + 10 * seed**2,
        device="cpu",
        torch="2.15.0",
        commit=None,
        status="done",
        config={"seed": seed, "model": {"act": variant or step}},
    )
    return replace(base, **changes)


@pytest.fixture
def runs(tmp_path):
    """Three seeds of three steps, two steps without any spread, a variant of each kind, a run of another protocol."""
    records = [
        *[made("resnet50", top1, seed) for seed, top1 in enumerate((88.0, 89.0, 90.5))],
        *[made("modern_recipe", top1, seed) for seed, top1 in enumerate((90.0, 91.0, 92.0))],
        *[made("stage_ratio", top1, seed) for seed, top1 in enumerate((92.0, 93.0, 94.5))],
        *[made(step, 95.0, seed) for step in ("patchify_stem", "depthwise_conv") for seed in (0, 1)],
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
        (folder / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "top1": one.top1}) + "\n")
        (folder / "checkpoint.pt").write_bytes(b"weights")
    return tmp_path / "runs"


COUNT = 20  # of the records in `runs`


def test_a_record_comes_back_as_it_was(tmp_path):
    one = made("gelu", 71.25)
    assert record.read(record.write(tmp_path, one)) == one
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def rows_of(folder: Path, protocol: str | None = None) -> list[table.Row]:
    return table.rows(table.collect(folder, protocol).records.values())


FORMATS = {"md": formats.markdown, "csv": formats.to_csv, "tex": formats.to_latex}


@pytest.mark.parametrize("kind", FORMATS)
def test_the_table_is_this(runs, kind):
    assert FORMATS[kind](rows_of(runs, "digits")) == (ROOT / f"tests/golden_table.{kind}").read_text()


def power_by_scipy(effect: float, n: int) -> float:
    shift, critical = effect * sqrt(n / 2), scipy_stats.t.ppf(0.975, 2 * n - 2)
    return float(scipy_stats.nct.sf(critical, 2 * n - 2, shift) + scipy_stats.nct.cdf(-critical, 2 * n - 2, shift))


@pytest.mark.filterwarnings("ignore:Precision loss")  # scipy's, where one side has no spread
def test_every_number_is_scipys(runs):
    """The golden tables hold what these rows hold."""
    rows = {row.variant: row for row in rows_of(runs, "digits")}
    compared = 0
    for row in rows.values():
        if row.n > 1 and row.top1_std:
            low, high = scipy_stats.t.interval(0.95, row.n - 1, row.top1, scipy_stats.sem(row.top1s))
            assert (row.top1_low, row.top1_high) == pytest.approx((low, high))
        for name, of in (("difference", row.before), ("start_difference", row.start)):
            gap, low, high, p = (getattr(row, name + end) for end in ("", "_low", "_high", "_p"))
            if of not in rows or not rows[of].n or not row.n:
                assert (gap, low, high, p) == (None, None, None, None)
                continue
            after, before = row.top1s, rows[of].top1s
            assert gap == pytest.approx(sum(after) / len(after) - sum(before) / len(before))
            if min(len(after), len(before)) < 2 or not (row.top1_std or rows[of].top1_std):
                assert (low, high, p) == (None, None, None)
                continue
            welch = scipy_stats.ttest_ind(after, before, equal_var=False)
            interval = welch.confidence_interval(0.95)
            assert (low, high, p) == pytest.approx((interval.low, interval.high, welch[1]))
            compared += 1
            if name == "difference":
                squares = sum(len(values) * pvariance(values) for values in (after, before))
                pooled = sqrt(squares / (len(after) + len(before) - 2))
                assert row.seeds_needed == next(n for n in count(2) if power_by_scipy(gap / pooled, n) >= 0.8)
    assert compared == 3 + 4  # neighbours, and all to the start


def test_p_values_are_corrected_in_four_families():
    gains = {"resnet50": 0, "modern_recipe": 2, "stage_ratio": 2.5, "gelu": 3}
    gains |= {"gelu+act=relu": 5, "gelu+width=8": 3.2}
    records = [
        made(variant.split("+")[0], 80.0 + gain + seed, seed, variant)
        for variant, gain in gains.items()
        for seed in range(3)
    ]
    rows = {row.variant: row for row in table.rows(records) if row.n}
    for name, families in (
        ("difference", [["modern_recipe", "stage_ratio"], ["gelu+act=relu", "gelu+width=8"]]),
        ("start_difference", [["modern_recipe", "stage_ratio", "gelu"], ["gelu+act=relu", "gelu+width=8"]]),
    ):
        for family in families:
            plain = sorted(getattr(rows[variant], f"{name}_p") for variant in family)
            corrected = sorted(getattr(rows[variant], f"{name}_holm") for variant in family)
            assert corrected[0] == pytest.approx(min(1, plain[0] * len(family)))
            assert corrected[-1] == pytest.approx(max(plain[-1], corrected[-2]))
    assert rows["gelu"].difference_holm is None  # kernel_size was not run


def test_a_sign_is_claimed_only_where_both_intervals_are_clear_of_zero():
    def sign(step: str, before: str, gain: float, spread: float = 0.1, n: int = 3) -> str | None:
        pairs = ((before, 80.0), (step, 80.0 + gain))
        rows = table.rows([made(name, top1 + seed * spread, seed) for name, top1 in pairs for seed in range(n)])
        return next(row.sign for row in rows if row.variant == step)

    assert sign("increase_width", "depthwise_conv", 1.0) == "agrees"  # the paper: +2.22 ± 0.08 and 0.02
    assert sign("increase_width", "depthwise_conv", -1.0) == "disagrees"
    assert sign("increase_width", "depthwise_conv", 1.0, spread=2.0) == "unclear"
    assert sign("increase_width", "depthwise_conv", 1.0, n=1) == "unclear"
    assert sign("increase_width", "depthwise_conv", 1.0, spread=0.0) == "unclear"
    assert sign("gelu", "kernel_size", 1.0) == "unclear"  # the paper: +0.05 ± 0.14 and 0.14
    assert sign("modern_recipe", "resnet50", 1.0) == "agrees"  # the paper prints no std of the start
    assert sign("convnext", "separate_downsampling", 1.0) is None  # no row of the paper's


def test_the_papers_rows_are_those_of_the_size_or_of_t():
    rows = {size: table.rows([made("gelu", 80.0, size=size)]) for size in ("t", "b", "micro")}
    assert {size: {row.paper_size for row in of} for size, of in rows.items()} == {
        "t": {"t"},
        "b": {"b"},
        "micro": {"t"},
    }
    gelu = {size: next(row for row in of if row.variant == "gelu") for size, of in rows.items()}
    assert [gelu[size].paper_top1 for size in ("t", "b", "micro")] == [80.62, 82.19, 80.62]
    # Welch by hand: 0.14 over three seeds each, so 4 degrees of freedom, whose t is 2.776.
    half = 2.776 * (2 * 0.14**2 / 3) ** 0.5
    assert gelu["t"].paper_difference_low == pytest.approx(80.62 - 80.57 - half, abs=1e-3)
    assert gelu["t"].paper_difference_high == pytest.approx(80.62 - 80.57 + half, abs=1e-3)
    assert gelu["b"].paper_difference == pytest.approx(82.19 - 82.30)
    assert gelu["b"].paper_difference_low is None  # one seed each
    notes = {size: " ".join(formats.notes(of)) for size, of in rows.items()}
    assert "size micro is not in the paper: those of t" in notes["micro"]
    assert "not in the paper" not in notes["t"] + notes["b"]


def test_text_of_records_is_escaped():
    name = "gelu+act=a|b_50%&<script>\\x"
    rows = table.rows([made("gelu", 80.0, variant=name), made("gelu", 81.0)])
    cells = next(line for line in formats.markdown(rows).splitlines() if "script" in line)
    assert r"act=a\|b_50%&\<script>" in cells
    tex = next(line for line in formats.to_latex(rows).splitlines() if "script" in line)
    assert r"gelu+act=a|b\_50\%\&\ensuremath{<}script\ensuremath{>}\textbackslash{}x" in tex


def test_json_and_csv_say_the_same(runs):
    rows = json.loads(run_script("scripts/table.py", runs, "--json").stdout)
    lines = run_script("scripts/table.py", runs, "--csv").stdout.strip().splitlines()
    assert lines[0].split(",") == list(rows[0])
    first = (
        "protocol,size,changes,variant,n,top1,top1_std,before,difference,difference_low,difference_high,gmacs,params"
    )
    assert lines[0].startswith(first)  # which other people's scripts read
    assert len(lines) - 1 == len(rows)
    for of_json, of_csv in zip(rows, csv.DictReader(lines), strict=True):
        shown = {float: "{:.10g}".format, list: lambda value: str(tuple(value)), type(None): lambda _: ""}
        assert of_csv == {key: shown.get(type(value), str)(value) for key, value in of_json.items()}
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
    rows = json.loads(run_script("scripts/table.py", runs, "--protocol", "cifar10_micro", "--json").stdout)
    assert {row["protocol"] for row in rows} == {"cifar10_micro"}
    assert [row["variant"] for row in rows if row["n"]] == ["gelu"]


def test_what_cannot_be_compared_is_left_out_by_path(runs):
    folder = runs / "digits"
    alien, short = asdict(made("gelu", 1.0)) | {"colour": "red"}, asdict(made("gelu", 1.0))
    del short["top5"], short["size"]
    texts = {
        "broken": '{"step": "gelu"',
        "binary": "\0",
        "alien": json.dumps(alien),
        "short": json.dumps(short),
        "empty": "{}",
    }
    records = {
        "failed": made("gelu", 0.0, status="failed"),
        "unscored": replace(made("gelu", 0.0), top1=None),
        "not_a_number": made("gelu", float("nan")),
        "unknown_step": made("swin", 1.0),
        "unknown_size": made("gelu", 1.0, size="xxl"),
        "other": made("stage_ratio", 10.0, 9, config={"seed": 9, "model": {"act": "other"}}),
        "twice": made("stage_ratio", 10.0, 0),
    }
    reasons = {
        "broken": "not a record (Invalid JSON: EOF",
        "binary": "not a record (Invalid JSON: expected value",
        "alien": "not a record (colour Unexpected keyword argument)",
        "short": "not a record (size Field required, top5 Field required)",
        "empty": "not a record (step Field required, variant Field required, protocol Field required and 17 more)",
        "directory": "not a record ([Errno 21] Is a directory",
        "failed": "failed",
        "unscored": "done, with a top-1 of None",
        "not_a_number": "done, with a top-1 of nan",
        "unknown_step": "there is no step 'swin' here; is it from another version?",
        "unknown_size": "there is no size 'xxl' here; is it from another version?",
        "other": "another configuration by the name of stage_ratio",
        "twice": f"stage_ratio with seed 0 a second time; the first is {folder / '6'}",
    }
    for name in reasons:
        (folder / name).mkdir()
    for name, text in texts.items():
        (folder / name / "record.json").write_text(text)
    for name, one in records.items():
        record.write(folder / name, one)
    (folder / "directory/record.json").mkdir()
    found = table.collect(runs)
    assert len(found.records) == COUNT
    said = {Path(line.split(":")[0]).parent.name: line.split(": ", 1)[1] for line in found.left_out}
    assert said.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert said[name].startswith(reason)
    result = run_script("scripts/table.py", runs)
    assert result.returncode == 0
    assert len([line for line in result.stderr.splitlines() if line.startswith("left out: ")]) == len(reasons)


def test_no_record_is_one_line_and_status_2(tmp_path):
    for arguments in ([tmp_path], [tmp_path, "--protocol", "imagenet"]):
        result = run_script("scripts/table.py", *arguments)
        assert result.returncode == 2
        assert result.stderr.startswith("table.py: error: there is no finished record")
        assert len(result.stderr.splitlines()) == 1


def test_freeze_copies_evidence_without_weights_and_adds_to_a_study(runs, tmp_path):
    def freeze(*arguments: object):
        return run(ROOT / "scripts/freeze.py", *arguments, "--runs", runs, cwd=tmp_path)

    result = freeze("mine", "--protocol", "cifar10_micro")
    assert result.stdout.strip() == "results/studies/mine/table.md"
    study = tmp_path / "results/studies/mine"
    files = sorted(path.name for path in study.rglob("*.*") if path.parent.name != "figures")
    assert files == ["metrics.jsonl", "record.json", "table.csv", "table.md"]
    assert [path.name for path in sorted((study / "figures").iterdir())] == [
        "cifar10_micro-micro-curves.png",
        "cifar10_micro-micro-curves.svg",
    ]
    assert "skipped: cifar10_micro, size micro: no roadmap: fewer than two steps" in result.stderr
    assert "60.00" in (study / "table.md").read_text()
    assert freeze("mine").returncode == 0
    assert len(list(study.rglob("record.json"))) == COUNT
    assert formats.markdown(rows_of(runs)) in (study / "table.md").read_text()
    assert (study / "figures/digits-micro-roadmap.svg").is_file()
    (study / "table.md").unlink()
    again = run(ROOT / "scripts/freeze.py", "mine", "--runs", study, cwd=tmp_path)
    assert (again.returncode, again.stdout.strip()) == (0, "results/studies/mine/table.md")
    assert formats.markdown(rows_of(runs)) in (study / "table.md").read_text()
    for name in ("../elsewhere", "a/b", ""):
        assert freeze(name).returncode == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "runs"]
