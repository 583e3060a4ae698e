"""The page holds everything the records hold; their text stays text; it needs no network."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from records import MARKUP, large_study, make_record, network, write_study

from modernet.analysis.selection import select
from modernet.analysis.table import build_rows
from modernet.metrics import METRICS, Metric
from modernet.record import write_record
from modernet.report.page import build_page
from modernet.report.studies import load_studies


class ParsedPage(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.words = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def run_data(page: str) -> dict:
    """The data from which the page's script draws the panel of a run."""
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert match
    return json.loads(match.group(1))


def page_of(*folders: Path) -> str:
    return build_page(load_studies(folders), "2022-01-10 12:00 UTC", "modernet report")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A large study, with three files that a report excludes and one run without metrics."""
    runs = write_study(tmp_path_factory.mktemp("report") / "my_runs", large_study())
    for name in ("broken", "failed", "twice"):
        (runs / name).mkdir()
    (runs / "broken/record.json").write_text("{<b>")
    write_record(runs / "failed", make_record("gelu", 1.0, status="failed"))
    write_record(runs / "twice", large_study()[0])
    (runs / "resnet50-0/metrics.jsonl").unlink()
    return runs


@pytest.fixture(scope="module")
def page(folder) -> str:
    return page_of(folder)


def test_page_has_all_sections_and_all_runs(page, folder):
    text = ParsedPage(page).words
    headings = re.findall(r"<h2>([\w ]+)", page)
    assert headings == ["Digits", "Attribution", "Methods", "Provenance"]
    assert page.index('id="answer"') < page.index("<h2>")  # the first thing that one reads
    for row in build_rows(select(folder).records.values()):
        assert f"{row.top1:.2f} ± {row.top1_std:.2f} [{row.top1_low:.2f}, {row.top1_high:.2f}]" in text
    for part in ("commits abc123def456 ", "recipe.lr", "Holm (1979)", "Not run.", "modernet attribution plan"):
        assert part in text
    for part in (
        "Steps: pooled std 0.10 with 30 degrees of freedom, from 15 rows",
        "Brown and Forsythe (1974)",
        "below 0.01",
    ):
        assert part in text
    data = run_data(page)
    assert len(data["runs"]) == 54
    variants = {record.variant for record in large_study()}
    networks = {str(network(variant)) for variant in variants}
    assert len(data["sections"]) == len(networks) + 2 + 3 + len(variants)  # recipe and data; seeds; names
    [run] = [run for run in data["runs"] if (run["facts"]["variant"], run["facts"]["seed"]) == ("convnext", 2)]
    assert run["facts"]["machine"] == {"devices": 1, "amp": "off"}
    assert data["sections"][run["config"]["recipe"]] == {"name": "modern", "epochs": 2, "lr": 0.01}
    assert run["curves"]["top1"] == pytest.approx([67 + 0.2 + 0.03 * 14 - 1, 67 + 0.2 + 0.03 * 14])
    assert run["curves"]["train_loss"] == [None, None]


def test_tooltips_give_mean_interval_seeds_and_gmacs(page):
    row = next(row for row in build_rows(large_study()) if row.variant == "gelu")
    interval = f"95 % confidence interval [{row.top1_low:.2f}, {row.top1_high:.2f}]"
    text = f"gelu\ntop-1 {row.top1:.2f} ± {row.top1_std:.2f} %\n{interval}\n"
    titles = re.findall(r"<title>(.*?)</title>", page, re.DOTALL)
    cost = f"3 seeds, {1000 * (row.gmacs or 0):.3g} MMACs"
    assert sum(title.startswith(text) and title.endswith(cost) for title in titles) == 4  # dot, cost; front; difference
    assert sum(title.startswith(f"{text}difference to kernel_size: ") for title in titles) == 1
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_excluded_files_are_named_without_paths_of_this_machine(page, folder):
    excluded = page[page.index("<h3>Excluded files</h3>") :]
    assert "broken/record.json: not a record" in excluded
    assert "failed/record.json: failed" in excluded
    assert "twice/record.json: resnet50 with seed 0 a second time; the first is resnet50-0/record.json" in excluded
    assert str(folder.parent) not in page
    assert str(Path.home()) not in page
    [run] = [run for run in run_data(page)["runs"] if run["path"] == "resnet50-0"]
    assert "No such file" in run["curves"]


def test_markup_in_records_stays_text(tmp_path):
    text = dict.fromkeys(("device", "torch", "commit", "data", "recipe"), MARKUP)
    hostile = make_record("gelu", 80.0, variant=f"{MARKUP}\x01", **text)
    hostile = replace(
        hostile, config=hostile.config | {MARKUP: {MARKUP: MARKUP}, "data": {MARKUP: MARKUP}}, machine={MARKUP: MARKUP}
    )
    page = page_of(
        write_study(tmp_path / "<b>runs", [hostile, make_record("kernel_size", 79.0), make_record("convnext", 81.0)])
    )
    parsed = ParsedPage(page)
    assert [tag for tag, _ in parsed.tags if tag in ("script", "img", "b", "iframe")] == ["script", "script"]
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert parsed.text.count(MARKUP) > 5
    [run] = [run for run in run_data(page)["runs"] if run["facts"]["device"] == MARKUP]
    assert run["facts"]["variant"] == f"{MARKUP}\x01"
    assert f"{MARKUP}\ufffd\ntop-1 80.00 %" in parsed.text  # the title of an SVG's mark


def test_page_loads_nothing_from_the_network(page):
    parsed = ParsedPage(page)
    for _, attributes in parsed.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    policy = next(attributes["content"] for tag, attributes in parsed.tags if "http-equiv" in attributes)
    assert policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "@import" not in page
    assert "url(http" not in page


def test_a_declared_metric_is_a_column_of_rows_and_runs(tmp_path, monkeypatch):
    metric = Metric("watts", "power", "W", ",.1f", "mean power of the device")
    monkeypatch.setattr("modernet.metrics.METRICS", (*METRICS, metric))
    records = [make_record("gelu", 70.0, seed, metrics={"watts": 1234.0 + seed}) for seed in (0, 1)]
    page = page_of(write_study(tmp_path / "runs", [*records, make_record("layer_norm", 71.0)]))
    header = (
        '<th scope="col" data-optional><button type="button" title="mean power of the device">power (W)</button></th>'
    )
    assert page.count(header) == 2  # the results, and all runs
    cells = re.findall(r'<td data-value="(12[\d.]+)">([\d,.]+)</td>', page)
    assert cells == [("1234.5", "1,234.5"), ("1234.0", "1,234.0"), ("1235.0", "1,235.0")]
    data = run_data(page)
    assert data["headings"] == {"watts": "power (W)"}
    assert [run["facts"]["metrics"] for run in data["runs"]] == [{"watts": 1234.0}, {"watts": 1235.0}, {}]


def test_one_study_is_the_headline_and_the_others_are_a_line_each(tmp_path):
    changes = [f"gelu+recipe.lr={rate}" for rate in (1, 2)]
    side_studies = [make_record("gelu", 60.5, variant=variant) for variant in changes]
    one = write_study(tmp_path / "one", [make_record("gelu", 71.5), *side_studies])
    other = write_study(tmp_path / "other", [make_record("gelu", 81.5)])
    page = page_of(one, other, one)
    assert re.findall(r'<section id="(study-[\d-]+)">', page) == ["study-0-0"]
    assert re.findall(r'<details class="study" id="([\w-]+)">', page) == ["folded-study-0-1", "folded-study-1-0"]
    text = ParsedPage(page).words
    assert "Single seed: one (Digits, size micro) 2 settings, 1 network, 1 seed, 2 runs" in text
    assert re.search(r"changes gelu recipe\.lr=1 60\.50 recipe\.lr=2 60\.50", text)
    assert "71.50 ±" not in text


def test_curves_by_step_are_data_of_their_run(tmp_path):
    runs = write_study(tmp_path / "runs", [make_record("gelu", 70.0), make_record("gelu", 71.0, 1)])
    (runs / "gelu-0/steps.jsonl").write_text('{"step": 10, "lr": 0.5}\n{"step": 20, "lr": 0.25, "train_loss": 2.0}\n')
    (runs / "gelu-1/steps.jsonl").write_text("{<b>")
    first, second = run_data(page_of(runs))["runs"]
    assert first["steps"] == {"step": [10, 20], "train_loss": [None, 2.0], "lr": [0.5, 0.25]}
    assert "Expecting" in second["steps"]
    assert second["curves"]["top1"] == [70.0, 71.0]


def test_every_row_with_runs_has_a_folded_page_that_the_table_links_to(page):
    names = [row.name for row in build_rows(large_study())]
    links = re.findall(r'<th scope="row" data-value="\d+"><a href="#([\w-]+)">', page)
    pages = re.findall(r'<details class="step" id="([\w-]+)">', page)
    assert links == pages
    assert len(pages) == len(names)
    text = ParsedPage(page).words
    assert "Sec. 2.6: ReLU -> GELU. top-1 70.3" in text
    assert "seeds needed to tell it from ResNet-50 2" in text


def test_attributions_are_a_section_of_the_page(tmp_path):
    contribution = {"mean": 1.5, "low": 1.25, "high": 1.75, "gmacs": 1.2, "params": 1.0, "changes_cost": True}
    unknown = {"mean": None, "low": None, "high": None, "gmacs": None, "params": None, "changes_cost": False}
    steps = [
        {"step": name, **dict.fromkeys(("path", "leave_one_out", "add_one_in"), contribution), "shapley": shapley}
        for name, shapley in (("gelu", contribution), ("<i>", unknown))
    ]
    values = {"protocol": "digits", "size": "micro", "end": "convnext", "seeds": [0, 1], "runs": 90}
    values |= {"train_hours": 1.5, "steps": steps, "orders": [["gelu"], ["gelu"]], "notes": ["A <b>note</b>."]}
    runs = write_study(tmp_path / "runs", [make_record("gelu", 70.0)])
    for name, text in {"digits": json.dumps(values), "broken": "{}", "list": "[1]", "text": "no"}.items():
        (tmp_path / "attribution" / name).mkdir(parents=True)
        (tmp_path / "attribution" / name / "attribution.json").write_text(text)
    page = page_of(runs, tmp_path / "attribution")
    text = ParsedPage(page).words
    assert "90 runs, 1.50 hours of training, 2 orders, seeds 0, 1." in text
    assert "gelu +1.50 [+1.25, +1.75] *" in text
    assert "sum +3.00+3.00+3.00 " in text
    assert "<title>gelu, Shapley\n+1.50 [+1.25, +1.75] * points\nGMACs and parameters times 1.20, 1.00</title>" in page
    assert "A &lt;b&gt;note" in page
    assert "<i>" not in page
    assert "Not run." not in text
    for name in ("broken", "list", "text"):
        assert f"{name}/attribution.json: " in text
