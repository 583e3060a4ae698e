"""The table in each of its formats."""

import csv
import json
from dataclasses import fields
from pathlib import Path

import pytest
from helpers import run_command, run_script
from records import make_record

from modernet.analysis.formatting import format_interval, format_p_value
from modernet.analysis.notes import notes
from modernet.analysis.selection import select
from modernet.analysis.table import Row, build_rows
from modernet.analysis.table_text import to_csv, to_json, to_latex, to_markdown
from modernet.metrics import METRICS, Metric
from modernet.record import Epoch, Record

FORMATS = {"md": to_markdown, "csv": to_csv, "tex": to_latex}


@pytest.mark.parametrize("suffix", FORMATS)
def test_table_equals_the_golden_file(runs, suffix):
    rows = build_rows(select(runs, "digits").records.values())
    golden = Path(__file__).with_name(f"golden_table.{suffix}")
    assert FORMATS[suffix](rows) == golden.read_text()


def test_text_of_records_is_escaped():
    name = "gelu+act=a|b_50%&<script>\\x"
    rows = build_rows([make_record("gelu", 80.0, variant=name), make_record("gelu", 81.0)])
    cells = next(line for line in to_markdown(rows).splitlines() if "script" in line)
    assert r"act=a\|b_50%&\<script>" in cells
    tex = next(line for line in to_latex(rows).splitlines() if "script" in line)
    assert r"GELU, act a|b\_50\%\&\ensuremath{<}script\ensuremath{>}\textbackslash{}x" in tex


def test_json_and_csv_hold_the_same_values(runs):
    rows = json.loads(run_script("scripts/table.py", runs, "--json").stdout)
    lines = run_command("table", runs, "--csv").stdout.strip().splitlines()
    assert lines[0].split(",") == list(rows[0])
    first = (
        "protocol,size,changes,variant,n,top1,top1_std,before,difference,difference_low,difference_high,gmacs,params"
    )
    assert lines[0].startswith(first)  # other people's scripts read these
    assert len(lines) - 1 == len(rows)
    for json_row, csv_row in zip(rows, csv.DictReader(lines), strict=True):
        shown = {float: "{:.10g}".format, list: json.dumps, type(None): lambda _: ""}
        assert csv_row == {key: shown.get(type(value), str)(value) for key, value in json_row.items()}
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


def test_notes_name_the_size_whose_paper_values_stand_in():
    text = {size: " ".join(notes(build_rows([make_record("gelu", 80.0, size=size)]))) for size in ("t", "b", "micro")}
    assert "size micro is not in the paper: values of size t" in text["micro"]
    assert "not in the paper" not in text["t"] + text["b"]


SPEED = Metric("tokens", "token rate", "1/s", ".1f", "a metric that only this test declares")


@pytest.fixture
def metrics(monkeypatch):
    """METRICS with one more line."""
    monkeypatch.setattr("modernet.metrics.METRICS", (*METRICS, SPEED))


def test_a_declared_metric_is_a_column_of_every_format(metrics):
    records = [make_record("gelu", 80.0 + seed, seed, metrics={"tokens": 2.0 + seed}) for seed in (0, 1)]
    rows = build_rows([*records, make_record("convnext", 82.0)])
    assert next(row for row in rows if row.variant == "gelu").metrics == {"tokens": 2.5}
    header, *cells = [
        [cell.strip() for cell in line.split("|")] for line in to_markdown(rows).splitlines() if line.startswith("| ")
    ]
    column = header.index("token rate (1/s)")
    by_variant = {cell[1]: cell for cell in cells[:15]}
    assert (by_variant["gelu"][column], by_variant["convnext"][column]) == ("2.5", "")
    assert "token rate (1/s)" in to_latex(rows)
    assert "token rate: a metric that only this test declares." in " ".join(notes(rows))
    values = {row["variant"]: row["tokens"] for row in json.loads(to_json(rows))}
    assert (values["gelu"], values["convnext"], values["resnet50"]) == (2.5, None, None)
    assert {row["variant"]: row["tokens"] for row in csv.DictReader(to_csv(rows).splitlines())}["gelu"] == "2.5"


def test_metrics_without_values_and_undeclared_metrics_have_no_column(metrics):
    rows = build_rows([make_record("gelu", 80.0, metrics={"from_a_fork": 1.0})])
    for text in (to_markdown(rows), to_csv(rows), to_json(rows)):
        assert not any(word in text for word in ("tokens", "peak", "from_a_fork", "metrics"))


def test_metric_names_differ_from_the_names_of_fields():
    taken = {field.name for cls in (Epoch, Record, Row) for field in fields(cls)}
    assert not taken & {metric.name for metric in METRICS}


@pytest.mark.parametrize(
    ("p", "text"), [(0.0501, "0.0501"), (0.04997, "0.04997"), (0.05, "0.050"), (0.051, "0.051"), (0.0004, "< 0.001")]
)
def test_p_values_show_on_which_side_of_five_percent_they_are(p, text):
    assert format_p_value(p) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(-0.004, 0.91, "[-0.004, +0.91]"), (0.0002, 0.9, "[+0.0002, +0.90]"), (0.0, 0.5, "[+0.00, +0.50]")],
)
def test_ends_of_intervals_show_their_sign(low, high, text):
    assert format_interval(low, high, "+") == text
