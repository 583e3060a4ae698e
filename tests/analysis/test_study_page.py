"""`modernet study` writes the generated parts of a page from frozen records, and only those."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from math import log2
from pathlib import Path
from typing import Any

import pytest
from helpers import MAIN_PATH, ROOT, compose, run_command
from records import write_runs

from modernet.analysis.row import network_name
from modernet.record import Record, load_records, write_record

STUDIES, PAGE = ROOT / "results/studies", ROOT / "results/STUDY.md"
NAMES = re.findall(r"<!-- begin (\w+) -->", PAGE.read_text())


@cache
def protocol_recipe() -> dict[str, Any]:
    """The recipe that protocol=cifar10_micro trains today."""
    return compose("protocol=cifar10_micro", "+step=convnext").config["recipe"]


def usual_lr() -> float:
    return protocol_recipe()["lr"]


@cache
def committed_runs() -> dict[str, Record]:
    """Network -> one of its committed runs of the modern recipe on CIFAR-10."""
    records = [record for record in load_records(STUDIES).records.values() if record.protocol == "cifar10_micro"]
    return {network_name(record.variant): record for record in reversed(records) if record.recipe == "modern"}


def run(network: str, top1: float, seed: int = 0, epochs: int = 6, held_out: bool = False, **changes) -> Record:
    """A run of protocol=cifar10_micro with this result: a committed one with other values of model and `lr`."""
    runs = committed_runs()
    record = runs[network] if network in runs else runs[network.split("+")[0]]
    lr = changes.pop("lr", usual_lr())
    config = json.loads(json.dumps(record.config)) | {"seed": seed}
    config["recipe"] = protocol_recipe() | {"epochs": epochs, "lr": lr}
    config["data"]["split"] = "train/val" if held_out else "train/test"
    config["model"] |= changes
    others = [f"recipe.lr={lr}"] * (lr != usual_lr()) + [f"recipe.epochs={epochs}"] * (epochs != 6)
    variant = "+".join([network, *others, *["data.split=train/val"] * held_out])
    return replace(record, variant=variant, seed=seed, epochs=epochs, top1=top1, config=config, train_seconds=360.0)


def repeat(network: str, top1: float, **changes) -> list[Record]:
    """Three seeds, 0.1 points apart."""
    return [run(network, top1 + 0.1 * seed, seed, **changes) for seed in range(3)]


def write(folder: Path, records: Iterable[Record]) -> Path:
    folder.mkdir()
    write_runs(folder / "all", *records)
    return folder


def parts(page: Path) -> dict[str, str]:
    """Name -> generated text of a page."""
    return dict(re.findall(r"<!-- begin (\w+) -->\n(.*?)<!-- end \1 -->", page.read_text(), re.S))


@pytest.fixture
def page(tmp_path) -> Path:
    """A page with every pair of markers and text around them."""
    path = tmp_path / "page" / "STUDY.md"
    path.parent.mkdir()
    markers = [f"Text of {name}.\n\n<!-- begin {name} -->\nold\n<!-- end {name} -->\n" for name in NAMES]
    path.write_text("# Title\n\n" + "\n".join(markers))
    return path


DECIDED = re.compile(r"decided after Holm's correction: (.*) with one recipe, (.*) with own best rates\.")


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {start}"))


def test_the_committed_page_is_what_the_command_writes_from_the_committed_records(tmp_path):
    copy = tmp_path / "STUDY.md"
    copy.write_text(PAGE.read_text())
    result = run_command("study", STUDIES, "--page", copy)
    assert (result.returncode, result.stdout) == (0, f"{copy}\n")
    assert copy.read_text() == PAGE.read_text()
    figures = {path.name for path in (ROOT / "results/figures").iterdir()}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == figures
    assert set(re.findall(r"\(figures/(\S+)\)", copy.read_text())) <= figures


def test_without_records_every_part_says_that_it_was_not_run(page, tmp_path):
    result = run_command("study", write(tmp_path / "studies", []), "--page", page)
    assert result.returncode == 0, result.stderr
    generated = parts(page)
    commands = generated.pop("commands")
    assert set(generated.values()) == {"Not run yet.\n"}
    rows = [line for line in commands.splitlines() if "`python train.py" in line]
    assert len(rows) > 6
    studies = {path.stem for path in (ROOT / "configs/study").glob("*.yaml")}
    assert set(re.findall(r"\+study=(\w+)", commands)) <= studies
    assert all(re.search(r"\| +0 of \d+ \| +not run yet \| +\|$", line) for line in rows)
    text = page.read_text()
    assert text.startswith("# Title\n\nText of ")
    assert "old" not in text


def test_budget_axis_shows_the_known_crossing_and_writes_its_figure(page, tmp_path):
    records = []
    for epochs in (2, 6, 18):
        level = 70 + 2 * log2(epochs)
        records += repeat("modern_recipe", level, epochs=epochs)
        records += repeat("convnext", level + 3 * (log2(epochs) - 3), epochs=epochs)
        records += repeat("invert_bottleneck", level + 5, epochs=epochs)
    command = ("study", write(tmp_path / "studies", records), "--page", page)
    assert run_command(*command).returncode == 0
    text = parts(page)["budget"]
    crossings = text[text.index("| gap  ") :]
    assert re.search(
        r"8\.0 epochs \[.*\]: convnext leads from there on", line_of(crossings, "convnext - modern_recipe")
    )
    assert "none up to 18 epochs" in line_of(crossings, "invert_bottleneck - modern_recipe")
    assert "](figures/budget.svg)" in text
    assert (page.parent / "figures/budget.png").stat().st_size
    before = page.read_text()
    assert run_command(*command).returncode == 0
    assert page.read_text() == before


def test_network_or_recipe_has_both_tables_and_names_the_steps_that_change_their_sign(page, tmp_path):
    records = []
    for number, name in enumerate(MAIN_PATH[1:]):
        records += repeat(name, 70.0 + number - 4 * (name == "gelu"))
        for factor in (0.5, 1, 2):
            best = 2 if name == "gelu" else 1
            records.append(run(name, 60.0 - abs(log2(factor / best)), epochs=3, held_out=True, lr=factor * usual_lr()))
    records += repeat("gelu", 78.0, lr=2 * usual_lr())
    result = run_command("study", write(tmp_path / "studies", records), "--page", page)
    assert result.returncode == 0, result.stderr
    generated = parts(page)
    assert f"{2 * usual_lr():g} (at the edge)" in line_of(generated["learning_rate"], "gelu")
    cells = [cell.strip() for cell in line_of(generated["recipe"], "gelu").split("|")]
    assert cells[2:6] == ["74.10 ± 0.10", "3", "-3.00 [-3.17, -2.83]", "< 0.001"]
    assert cells[6:11] == [f"{2 * usual_lr():g}", "78.10 ± 0.10", "3", "+1.00 [+0.83, +1.17]", "< 0.001"]
    own = next(line for line in generated["noise"].splitlines() if line.startswith("- **Own best"))
    assert own.endswith("The pooled std decides 13 of 13 differences, Welch's test 13."), own
    assert re.findall(r"^- `(\w+)`: ", generated["recipe"], re.M) == ["gelu"]
    assert (
        "with both differences change the sign where each network has its own best rate: `gelu`."
        in generated["answers"]
    )
    decided = DECIDED.search(generated["answers"])
    assert decided
    assert decided[1] == decided[2] == ", ".join(f"`{name}`" for name in MAIN_PATH[2:-1]) + " and `convnext`"
    assert "] with one recipe" in generated["recipe"]
    assert "] at its own best rate" in generated["recipe"]
    assert f"-m +step=gelu recipe.lr={2 * usual_lr():g} seed=0,1,2" in generated["commands"]
    row = line_of(generated["commands"], "own best learning rate")
    assert re.search(r"\| +3 of 3 \| +6 \| +0\.3 \|$", row)
    assert "agrees" in generated["signs"]
    assert "6 epochs, 12 steps with both differences" in generated["signs"]


def test_own_best_rates_wait_for_their_runs(page, tmp_path):
    records = [*repeat("gelu", 70.0), *repeat("convnext", 71.0)]
    records += [
        run(name, 60 + rate, epochs=3, held_out=True, lr=rate)
        for name in ("gelu", "convnext")
        for rate in (1, usual_lr())
    ]
    records += [run("layer_norm", 60, epochs=3, held_out=True)]
    assert run_command("study", write(tmp_path / "studies", records), "--page", page).returncode == 0
    generated = parts(page)
    assert "Not finished with every learning rate: `layer_norm`." in generated["learning_rate"]
    assert generated["recipe"] == "Not run yet.\n"


def test_a_single_network_with_two_lengths_gives_no_crossing_and_no_comparison_of_recipes(page, tmp_path):
    records = [*repeat("convnext", 65.0), *repeat("convnext", 53.0, epochs=2), *repeat("modern_recipe", 66.0, epochs=2)]
    for name in ("modern_recipe", "convnext"):
        records += [run(name, 60 - abs(log2(x)), epochs=3, held_out=True, lr=x * usual_lr()) for x in (0.5, 1, 2)]
    assert run_command("study", write(tmp_path / "studies", records), "--page", page).returncode == 0
    generated = parts(page)
    assert "A crossing needs two networks with two numbers of epochs in common" in generated["budget"]
    assert "zero of the line" not in generated["budget"]
    assert generated["recipe"] == "Not run yet.\n"


def test_leave_one_out_and_layer_scale_compare_with_the_end(page, tmp_path):
    records = [*repeat("convnext", 70.0), *repeat("separate_downsampling", 73.0)]
    records += repeat("convnext+layer_scale=0.1", 74.0, layer_scale=0.1)
    records += repeat("convnext+act=relu", 69.0, act="relu")
    assert run_command("study", write(tmp_path / "studies", records), "--page", page).returncode == 0
    generated = parts(page)
    assert "+4.00" in line_of(generated["layer_scale"], "0.1")
    assert "+3.00" in line_of(generated["layer_scale"], "none")
    assert "+1.00" in line_of(generated["steps"], "gelu")  # worth a point: without it the end has a point less
    assert "-3.00" in line_of(generated["steps"], "convnext")
    assert "Not finished yet: leave-one-out (2 of 13 steps with 3 seeds), Shapley." in generated["steps"]
    assert "p (Holm), leave-one-out, 6 epochs" in generated["steps"]
    assert (
        "- **Leave-one-out alone, 6 epochs.** 3 rows: pooled std 0.10 with 6 degrees of freedom; " in generated["noise"]
    )
    assert "not run" in line_of(generated["steps"], "layer_norm")
    assert (
        "`convnext` against itself without one step after 6 epochs (2 of 13 steps with 3 seeds), 2 are decided; "
        "`gelu` (+1.0) raises top-1; `convnext` (-3.0) lowers top-1." in generated["answers"]
    )
    assert generated["kernels"] == "Not run yet.\n"
    assert re.search(r"\| +9 of 42 \| +6 \| +0\.9 \|$", line_of(generated["commands"], "leave-one-out"))


def test_kernel_sizes_are_a_family_of_their_own_and_the_figure_of_signs_has_the_published_steps(page, tmp_path):
    """Whatever other networks were run with the same length of training."""
    kernels = [*repeat("move_up_depthwise", 70.0), *repeat("kernel_size", 69.8)]
    kernels += repeat("move_up_depthwise+kernel_size=9", 69.7, kernel_size=9)
    steps = [record for number, name in enumerate(MAIN_PATH[1:10]) for record in repeat(name, 60.0 + number)]
    steps = [record for record in steps if record.variant not in ("move_up_depthwise", "kernel_size")]
    found = []
    beside = [*kernels, *steps, *repeat("resnext", 90.0), run("gelu+width=20", 99.0, width=20)]
    for name, records in (("published", [*kernels, *steps]), ("beside", beside)):
        assert run_command("study", write(tmp_path / name, records), "--page", page).returncode == 0
        found.append(line_of(parts(page)["kernels"].rpartition("(points)")[2], "7x7 "))
    assert found[0] == found[1]
    assert "-0.20 [" in found[0]
    svg = (page.parent / "figures/signs.svg").read_text()
    assert "GELU" in svg
    assert "ResNeXt" not in svg


def test_all_tables_of_a_length_have_the_noise_of_its_steps(page, tmp_path):
    """One unequal network makes Welch's test the test of all, and a network of one seed has no interval then."""
    records = [record for number, name in enumerate(MAIN_PATH[1:]) for record in repeat(name, 70.0 + number)]
    records += [run("stage_ratio", 60.0 + 10 * seed, seed=10 + seed) for seed in range(3)]
    records += [run("convnext+layer_scale=0.1", 90.0, layer_scale=0.1)]
    for name in MAIN_PATH[1:]:
        best = 2 if name == "gelu" else 1
        for factor in (0.5, 1, 2):
            top1 = 60.0 - abs(log2(factor / best))
            records.append(run(name, top1, epochs=3, held_out=True, lr=factor * usual_lr()))
    records.append(run("gelu", 75.0, lr=2 * usual_lr()))
    assert run_command("study", write(tmp_path / "studies", records), "--page", page).returncode == 0
    generated = parts(page)
    assert "so Welch's test is used" in generated["noise"]
    welch = "[+0.77, +1.23]"  # of two networks with three seeds and std 0.1
    for name in ("signs", "recipe"):
        assert welch in line_of(generated[name], "separate_downsampling")
    assert "[-1.23, -0.77]" in line_of(generated["layer_scale"], "none")
    single = [cell.strip() for cell in line_of(generated["layer_scale"], "0.1").split("|")]
    assert single[2:6] == ["1", "90.00", "+6.90", ""]
    own_best = line_of(generated["recipe"], "gelu").split("|")[-4:-1]
    assert own_best[0].strip() == "1"
    assert "[" not in own_best[1]
    assert not own_best[2].strip()
    decided = DECIDED.search(generated["answers"])
    assert decided
    assert "`gelu`" in decided[1]
    assert "`gelu`" not in decided[2]
    assert "One seed alone is behind a network of `gelu` and `fewer_activations`." in generated["answers"]


def test_answers_have_the_differences_and_rates_of_the_runs(page, tmp_path):
    records = [*repeat("modern_recipe", 70.0), *repeat("separate_downsampling", 65.0), *repeat("convnext", 64.0)]
    records += [record for number, name in enumerate(MAIN_PATH[2:10]) for record in repeat(name, 71.0 + number)]
    for name, best in (("modern_recipe", 2), ("convnext", 1)):
        records += [
            run(name, 60 - abs(log2(x / best)), epochs=3, held_out=True, lr=x * usual_lr()) for x in (0.5, 1, 2)
        ]
    result = run_command("study", write(tmp_path / "studies", records), "--page", page)
    assert result.returncode == 0, result.stderr
    text = parts(page)["answers"]
    assert "`separate_downsampling`, the paper's last network, minus `modern_recipe`, in points: -5.00 [" in text
    assert f"for 2 of 14 networks, on held-out images with 1 seed. The recipe's rate, {usual_lr():g}" in text
    assert f"another one for `modern_recipe` ({2 * usual_lr():g})" in text
    assert "`convnext` minus `modern_recipe` is +1.0 points at the recipe's rate and +0.0 with each" in text
    assert "are decided (p below 0.05 after Holm's correction); " in text
    assert "`stage_ratio` (+1.0)" in text


def test_runs_of_other_files_and_of_no_part_are_not_used(page, tmp_path):
    other = run("convnext", 10.0, seed=7)
    other.config["data_fingerprint"] = "0" * 16
    decayed = run("gelu", 12.0)
    decayed.config["recipe"]["weight_decay"] = 0.5
    studies = write(tmp_path / "studies", [*repeat("modern_recipe", 70.0), *repeat("convnext", 71.0), decayed])
    (studies / "other").mkdir()
    write_record(studies / "other", other)
    result = run_command("study", studies, "--page", page)
    assert "unused: 2 runs of cifar10_micro, as gelu, seed 0" in result.stderr
    assert "71.10" in line_of(parts(page)["budget"], "convnext")
    assert "n=3" in line_of(parts(page)["budget"], "convnext")


def test_records_that_contradict_each_other_are_one_line(page, tmp_path):
    before = page.read_text()
    contradicting = run("gelu", 52.0)
    other_stem = run("gelu", 61.0, seed=1, stem_stride=4)
    for name, record, message in (
        ("other", contradicting, "one run disagree, gelu with seed 0: {folder}/again/record.json has top-1 "),
        ("stem", other_stem, "two networks have the name gelu: one of seed "),
    ):
        studies = write(tmp_path / name, [*repeat("modern_recipe", 70.0), run("gelu", 61.0)])
        (studies / "again").mkdir()
        write_record(studies / "again", record)
        result = run_command("study", studies, "--page", page)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
        assert message.format(folder=studies) in result.stderr
    assert page.read_text() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- begin budgets -->\n<!-- end budgets -->\n", "there is no generated part 'budgets'; allowed: answers, "),
        ("<!-- begin budget -->\n", "each part of the page needs one `<!-- begin NAME -->` line and one"),
        ("<!-- end budget -->\n<!-- begin budget -->\n", "each part of the page needs one"),
        ("<!-- begin budget -->\n<!-- end budget -->\n" * 2, "each part of the page needs one"),
    ],
)
def test_faulty_markers_are_one_line_and_leave_the_page_unchanged(tmp_path, text, message):
    path = tmp_path / "STUDY.md"
    path.write_text(text)
    result = run_command("study", write(tmp_path / "studies", []), "--page", path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith(f"study.py: error: {message}")
    assert path.read_text() == text
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no folder nowhere"),
        ([STUDIES, "--page", "nowhere.md"], "there is no page nowhere.md"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message):
    result = run_command("study", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"study.py: error: {message}")


def test_the_figure_of_kernel_sizes_has_the_intervals_of_its_table(tmp_path, page):
    sizes = {"move_up_depthwise": 62.0, "move_up_depthwise+kernel_size=5": 61.0, "kernel_size": 60.0}
    kernels: dict[str, dict[str, Any]] = {"move_up_depthwise+kernel_size=5": {"kernel_size": 5}}
    steps = [record for step in MAIN_PATH[1:] if step not in sizes for record in repeat(step, 60.0)]
    swept = [
        run(name, top1 + noise, seed, **kernels.get(name, {}))
        for (name, top1), scale in zip(sizes.items(), (0.1, 0.2, 0.4), strict=True)
        for seed, noise in enumerate((0.0, scale, 2 * scale))
    ]
    result = run_command("study", write(tmp_path / "studies", [*steps, *swept]), "--page", page)
    assert result.returncode == 0, result.stderr
    svg = (page.parent / "figures/kernels.svg").read_text()
    assert "from the std pooled over networks" in " ".join(re.sub("<[^>]*>", " ", svg).split())
    for name in sizes:
        interval = line_of(parts(page)["kernels"], f"{name} ").split("|")[4].strip()
        tooltip = re.search(f"<title>{re.escape(name)}\n.*?</title>", svg, re.DOTALL)
        assert tooltip
        assert interval in tooltip[0]


def test_runs_of_other_seeds_and_rates_do_not_finish_a_part(page, tmp_path):
    records = [run("convnext", 64.0, seed) for seed in range(6)]
    for name in ("modern_recipe", "convnext"):
        records += [
            run(name, 60.0 - abs(log2(x)), seed, epochs=3, held_out=True, lr=x * usual_lr())
            for x in (0.5, 1, 2, 4)
            for seed in (0, 1)
        ]
    result = run_command("study", write(tmp_path / "studies", records), "--page", page)
    assert result.returncode == 0, result.stderr
    commands, answers = parts(page)["commands"], parts(page)["answers"]
    assert " 3 of 45 " in line_of(commands, "roadmap")
    assert " 6 of 42 " in line_of(commands, "learning rates")
    assert "on held-out images with 2 seeds" in answers
    assert "is the best of 4 for 2 of them" in answers


def test_learning_rates_wait_for_that_of_the_recipe(page, tmp_path):
    records = [
        run(name, 60.0 + x, epochs=3, held_out=True, lr=x * usual_lr())
        for name in ("modern_recipe", "convnext")
        for x in (0.5, 2)
    ]
    result = run_command("study", write(tmp_path / "studies", records), "--page", page)
    assert result.returncode == 0, result.stderr
    assert "learning rate" not in parts(page)["answers"]
    assert "not run yet" in parts(page)["learning_rate"].lower()


def test_shapley_values_name_their_end_and_seeds_and_two_of_one_title_are_refused(page, tmp_path):
    values = json.loads((STUDIES / "attribution_digits/attribution.json").read_text())
    values |= {"protocol": "cifar10_micro", "end": "convnext+recipe.epochs=2"}
    studies = write(tmp_path / "studies", repeat("convnext", 64.0))
    for name, end in (("one", "convnext"), ("other", "gelu")):
        (studies / name).mkdir()
        (studies / name / "attribution.json").write_text(json.dumps(values | {"end": f"{end}+recipe.epochs=2"}))
    assert run_command("study", studies, "--page", page).returncode == 0
    for end in ("convnext", "gelu"):
        assert f"Shapley to {end}, recipe.epochs=2, 2 orders, 2 seeds" in parts(page)["steps"]
    before = page.read_text()
    (studies / "other/attribution.json").write_text(json.dumps(values))
    result = run_command("study", studies, "--page", page)
    assert (result.returncode, page.read_text()) == (2, before)
    assert "is a second attribution with the title 'Shapley to convnext, " in result.stderr
