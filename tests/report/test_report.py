"""The report holds what the records hold, in words that they allow, and no text of theirs as anything but text."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers import ROOT, run_script
from test_table import made

from modernet.report.page import summary as conclusions
from modernet import record
from modernet.report.page import page as report
from modernet.report.page import studies
from modernet.analysis import table
from modernet.record import Record
from modernet.config.roadmap import roadmap

STEPS = list(roadmap("micro"))
EVIL = "gelu+act=</script><script>alert(1)</script>&\"'><img src=x onerror=alert(1)>"


def write(folder: Path, records: list[Record]) -> Path:
    """A study of these records, with a curve each."""
    for number, one in enumerate(records):
        place = folder / f"{one.variant.split('+')[0]}-{number}"
        place.mkdir(parents=True)
        record.write(place, one)
        lines = [{"epoch": epoch, "top1": (one.top1 or 0) - 2 + epoch, "val_loss": 1 / epoch} for epoch in (1, 2)]
        (place / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def study() -> list[Record]:
    """Every step and a kernel sweep with three seeds: up by 3 and down by 3 clearly, else by less than the noise."""
    names = [*STEPS, "move_up_depthwise+kernel_size=5", "move_up_depthwise+kernel_size=11", EVIL]
    level = dict.fromkeys(names, 70.0) | {"resnet50": 67.0, "convnext": 67.0}
    config = {"model": {"act": "relu"}, "recipe": {"name": "modern", "epochs": 2, "lr": 0.01}, "data": {"split": "val"}}
    return [
        made(
            name.split("+")[0],
            level[name] + 0.1 * seed + 0.03 * number,
            seed,
            name,
            gmacs=0.005 + 0.001 * (number * 7 % 5),
            config={"seed": seed, "name": name, **config},
            commit="abc123def456",
            machine={"devices": 1, "amp": "off"},
        )
        for number, name in enumerate(names)
        for seed in range(3)
    ]


class Texts(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def data_of(page: str) -> dict:
    """What the page's runs are drawn from."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found.group(1))


def page_of(*folders: Path) -> str:
    return report.page(studies.read(folders), "2022-01-10 12:00 UTC", "python scripts/report.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    runs = write(tmp_path_factory.mktemp("report") / "my_runs", study())
    (runs / "broken").mkdir()
    (runs / "broken/record.json").write_text("{<b>")
    (runs / "failed").mkdir()
    record.write(runs / "failed", made("gelu", 1.0, status="failed"))
    (runs / "twice").mkdir()
    record.write(runs / "twice", study()[0])
    (runs / "resnet50-0/metrics.jsonl").unlink()
    return runs


@pytest.fixture(scope="module")
def page(folder) -> str:
    return page_of(folder)


def test_every_section_is_there_and_every_run(page, folder):
    text = " ".join(Texts(page).text.split())
    headings = re.findall(r"<h2>([\w ]+)", page)
    assert headings == ["Summary", "Results", "Attribution", "Methods", "Provenance"]
    rows = table.rows(table.collect(folder).records.values())
    for row in rows:
        assert f"{row.top1:.2f} ± {row.top1_std:.2f} [{row.top1_low:.2f}, {row.top1_high:.2f}]" in text
    assert "abc123def456 (54 runs)" in text
    assert "recipe.lr" in text
    assert "Holm (1979)" in text
    assert "Not run." in text
    assert "attribution.py plan" in text
    data = data_of(page)
    assert len(data["runs"]) == 54
    assert len(data["parts"]) == 3 + 3 + len({one.variant for one in study()})  # model, recipe, data; seeds; names
    one = next(one for one in data["runs"] if one["facts"]["variant"] == "convnext" and one["facts"]["seed"] == 2)
    assert one["facts"]["machine"] == {"devices": 1, "amp": "off"}
    assert data["parts"][one["config"]["recipe"]] == {"name": "modern", "epochs": 2, "lr": 0.01}
    assert one["curves"]["top1"] == pytest.approx([67 + 0.2 + 0.03 * 14 - 1, 67 + 0.2 + 0.03 * 14])
    assert one["curves"]["train_loss"] == [None, None]


def test_marks_say_step_mean_interval_n_and_gmacs(page):
    row = next(row for row in table.rows(study()) if row.variant == "gelu")
    said = (
        f"gelu\ntop-1 {row.top1:.2f} ± {row.top1_std:.2f} %\n95 % interval [{row.top1_low:.2f}, {row.top1_high:.2f}]\n"
    )
    titles = re.findall(r"<title>(.*?)</title>", page, re.DOTALL)
    assert sum(title == f"{said}3 seeds, {row.gmacs:.4f} GMACs" for title in titles) == 4  # bar, dot, cost; front
    assert sum(title.startswith(f"{said}to kernel_size: ") for title in titles) == 1
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_what_was_left_out_is_named_without_where_this_machine_has_it(page, folder):
    left_out = page[page.index("<h3>Left out</h3>") :]
    assert "broken/record.json: not a record" in left_out
    assert "failed/record.json: failed" in left_out
    assert "twice/record.json: resnet50 with seed 0 a second time; the first is resnet50-0/record.json" in left_out
    assert str(folder.parent) not in page
    assert str(Path.home()) not in page
    lost = next(one for one in data_of(page)["runs"] if one["path"] == "resnet50-0")
    assert "No such file" in lost["curves"]


@pytest.mark.filterwarnings("ignore:Glyph")  # matplotlib's, of what no font has
def test_text_of_records_is_text_everywhere(tmp_path):
    alien = made("gelu", 80.0, variant=f"{EVIL}\x01", device=EVIL, torch=EVIL, commit=EVIL, data=EVIL, recipe=EVIL)
    alien = replace(alien, config={EVIL: {EVIL: EVIL}, "data": {EVIL: EVIL}}, machine={EVIL: EVIL})
    page = page_of(write(tmp_path / "<b>runs", [alien, made("kernel_size", 79.0)]))
    parsed = Texts(page)
    assert [tag for tag, _ in parsed.tags if tag in ("script", "img", "b", "iframe")] == ["script", "script"]
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert parsed.text.count(EVIL) > 5
    evil = next(one for one in data_of(page)["runs"] if one["facts"]["device"] == EVIL)
    assert evil["facts"]["variant"] == f"{EVIL}\x01"
    assert f"{EVIL}\ufffd\ntop-1 80.00 %" in parsed.text  # a tooltip, within an SVG


def test_nothing_is_asked_of_a_network(page):
    parsed = Texts(page)
    for _, attributes in parsed.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    policy = next(attributes["content"] for tag, attributes in parsed.tags if "http-equiv" in attributes)
    assert policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "@import" not in page
    assert "url(http" not in page


def answers(records: list[Record]) -> dict[str, conclusions.Family]:
    return {family.name.split(",")[0]: family for family in conclusions.families(table.rows(records))}


def test_the_summary_says_what_intervals_and_corrected_p_values_allow():
    of = answers(study())
    steps = of["Steps"]
    assert "By 14 tests" in steps.answer
    assert "modern_recipe raised top-1, and convnext lowered it. 12 tests did not decide" in steps.answer
    said = {words: [row.split()[0] for row in rows] for words, rows in steps.verdicts}
    assert said == {
        conclusions.VERDICTS["raised"]: ["modern_recipe"],
        conclusions.VERDICTS["lowered"]: ["convnext"],
        conclusions.VERDICTS["unclear"]: STEPS[2:-1],
    }
    assert "nothing raised top-1, and nothing lowered it. 3 tests did not decide" in of["Variants"].answer
    # +3.03 ± t * std * sqrt(2/3): 4 degrees of freedom, std 0.1
    assert steps.verdicts[0][1] == ["modern_recipe +3.03 [+2.80, +3.26], p\xa0<\xa00.001"]


def test_an_interval_that_excludes_zero_is_no_finding_before_correction():
    def verdicts(count: int) -> list[tuple[str, list[str]]]:
        levels = zip(STEPS[:count], (0.0, 0.3, 0.3, 0.3), strict=False)
        records = [made(name, 70 + level + seed / 10, seed) for name, level in levels for seed in range(3)]
        return answers(records)["Steps"].verdicts

    # 0.3 by std 0.1 and 4 degrees of freedom: t = 3.674, p = 0.0213, which three tests make 0.064
    assert verdicts(2) == [(conclusions.VERDICTS["raised"], ["modern_recipe +0.30 [+0.07, +0.53], p\xa0=\xa00.021"])]
    assert verdicts(4)[0] == (
        conclusions.VERDICTS["uncorrected"],
        ["modern_recipe +0.30 [+0.07, +0.53], p\xa0=\xa00.064"],
    )


def test_single_seeds_decide_nothing():
    of = answers([made(name, 70.0 + number) for number, name in enumerate(STEPS[:4])])["Steps"]
    assert "cannot tell" in of.answer
    assert [words for words, _ in of.verdicts] == [conclusions.VERDICTS["no noise"]]
    of = answers([made("gelu", 70.0, seed) for seed in range(3)])["Steps"]
    assert of.verdicts == [(conclusions.VERDICTS["not run"], ["gelu"])]
    said = " ".join(conclusions.overall(table.rows([made(name, 70.0) for name in ("resnet50", "gelu")])))
    assert "2 of 15 steps, 1 seed each: 2 runs. From resnet50 to gelu: +0.00 points of top-1; no interval" in said


def test_studies_stay_apart_and_side_studies_stand_beside_each_other(tmp_path):
    changes = [f"gelu+recipe.lr={rate}" for rate in (1, 2)]
    one = write(tmp_path / "one", [made("gelu", 71.5), *(made("gelu", 60.5, variant=name) for name in changes)])
    other = write(tmp_path / "other", [made("gelu", 81.5)])
    page = page_of(one, other, one)
    assert re.findall(r'<section id="(study-[\d-]+)">', page) == ["study-0", "study-0-0", "study-1", "study-1-0"]
    text = " ".join(Texts(page).text.split())
    assert "one has 2 side studies" in text
    assert re.search(r"changes gelu recipe\.lr=1 60\.50 recipe\.lr=2 60\.50", text)
    assert "71.50 ±" not in text


def test_an_attribution_is_shown_where_there_is_one(tmp_path, folder):
    gain = {"mean": 1.5, "low": 1.25, "high": 1.75, "gmacs": 1.2, "params": 1.0, "costly": True}
    none = {"mean": None, "low": None, "high": None, "gmacs": None, "params": None, "costly": False}
    steps = [
        {"step": name, **dict.fromkeys(("path", "leave_one_out", "add_one_in"), gain), "shapley": shapley}
        for name, shapley in (("gelu", gain), ("<i>", none))
    ]
    values = {"protocol": "digits", "size": "micro", "end": "convnext", "seeds": [0, 1], "runs": 90}
    values |= {"train_hours": 1.5, "steps": steps, "orders": [["gelu"], ["gelu"]], "notes": ["A <b>note</b>."]}
    for name, text in {"digits": json.dumps(values), "broken": "{}", "list": "[1]", "text": "no"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "attribution.json").write_text(text)
    page = page_of(folder, tmp_path)
    text = " ".join(Texts(page).text.split())
    assert "90 runs, 1.50 hours of training, 2 orders, seeds 0, 1." in text
    assert "gelu +1.50 [+1.25, +1.75] *" in text
    assert "sum +3.00+3.00+3.00 " in text
    assert "<title>gelu, Shapley\n+1.50 [+1.25, +1.75] * points\nGMACs and parameters times 1.20, 1.00</title>" in page
    assert "A &lt;b&gt;note" in page
    assert "<i>" not in page
    assert "Not run." not in text
    for name in ("broken", "list", "text"):
        assert f"{name}/attribution.json: " in text


def test_the_default_is_the_runs_or_the_committed_studies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "results/studies/b", [made("gelu", 1.0)])
    write(tmp_path / "results/studies/a", [made("gelu", 1.0)])
    assert studies.default_folders() == [Path("results/studies/a"), Path("results/studies/b")]
    write(tmp_path / "results/runs", [made("gelu", 1.0)])
    assert studies.default_folders() == [Path("results/runs")]
    (tmp_path / "results/attribution").mkdir()
    assert studies.default_folders() == [Path("results/runs"), Path("results/attribution")]
    assert studies.shown(Path("results/runs")) == "results/runs"
    assert studies.shown(Path("/elsewhere/of/mine")) == "mine"


def test_the_script_writes_whole_or_not_at_all(folder, tmp_path):
    out = tmp_path / "report.html"
    result = run_script("scripts/report.py", folder, "--out", out)
    assert (result.returncode, result.stdout) == (0, f"{out}\n")
    assert len([line for line in result.stderr.splitlines() if line.startswith("left out: my_runs: ")]) == 3
    text = out.read_text(encoding="utf-8")
    assert "python scripts/report.py my_runs" in text
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([tmp_path / "empty"], f"there is no finished record below {tmp_path / 'empty'}"),
        ([tmp_path / "none"], f"there is no folder {tmp_path / 'none'}"),
        ([folder, "--protocol", "imagenet"], f"there is no finished record of protocol imagenet below {folder}"),
        ([folder, "--out", tmp_path / "none/report.html"], f"there is no folder {tmp_path / 'none'}"),
    ):
        result = run_script("scripts/report.py", *(["--out", out] if "--out" not in arguments else []), *arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"report.py: error: {message}")
        assert len(result.stderr.splitlines()) == 1
    assert out.read_text(encoding="utf-8") == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "report.html"]


def test_the_committed_studies_make_a_report():
    page = page_of(*sorted((ROOT / "results/studies").iterdir()))
    assert "Results: tuning" in page
    assert str(ROOT) not in page
