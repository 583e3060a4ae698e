"""README and docs keep their promises: numbers follow from records, commands and examples run, links exist."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import hydra
import numpy as np
import pytest
from helpers import MAIN_PATH, ROOT, run_command
from PIL import Image

from modernet.analysis.paper import paper_rows
from modernet.analysis.selection import select
from modernet.analysis.table import Row, build_rows
from modernet.analysis.table_text import to_markdown
from modernet.cli import verbs
from modernet.config import studies
from modernet.config.experiment import build_experiment
from modernet.config.search_path import CONFIGS
from modernet.record import Record, load_record, load_records

README = (ROOT / "README.md").read_text()
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES = {"README.md": README, **{f"docs/{name}": text for name, text in DOCS.items()}}
STUDY = ROOT / "results/studies/cifar10_micro"
QUICK = ("recipe.epochs=1", "recipe.warmup_epochs=0", "wandb=disabled")  # README's commands, made short


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def section(title: str) -> str:
    return README.partition(f"## {title}\n")[2].partition("\n## ")[0]


def table_cells(text: str, header: str) -> list[list[str]]:
    """The cells of the Markdown table that begins with `header`, one list per row."""
    lines = text[text.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# Numbers


# One worker process runs this file, so that it makes the examples once.
pytestmark = pytest.mark.xdist_group("readme")


@pytest.fixture(scope="module")
def study_rows() -> dict[str, Row]:
    return {row.variant: row for row in build_rows(select(STUDY).records.values())}


def test_committed_table_follows_from_committed_records(study_rows):
    assert to_markdown(list(study_rows.values())) in (STUDY / "table.md").read_text()


def test_readme_lists_the_steps_that_the_committed_studies_decide(study_rows):
    def decided(rows: Iterable[Row]) -> dict[str, str]:
        return {row.variant: f"{row.difference:+.1f}" for row in rows if row.is_published and row.is_decided}

    def listed(text: str) -> dict[str, str]:
        return dict(re.findall(r"`(\w+)` \(([+-][\d.]+)", text))

    six_epochs, _, others = section("A result, with its caveat").partition("After two epochs")
    two_epochs, _, left_out = others.partition("left out of `convnext`")
    study = (ROOT / "results/STUDY.md").read_text().partition("`convnext` against itself without one step")[2]
    assert listed(left_out) == listed(study.partition("\n")[0])
    assert len(listed(left_out)) == 4
    roadmap_rows = build_rows(select(ROOT / "results/studies/roadmap").records.values())
    assert listed(six_epochs) == decided(row for row in roadmap_rows if not row.changes)
    differences = decided(study_rows.values())
    assert listed(two_epochs) == {"kernel_size": differences["kernel_size"]}
    assert len(differences) == 9
    assert "nine steps are decided" in " ".join(two_epochs.split())
    sweep = [f"move_up_depthwise+kernel_size={size}" for size in (5, 9, 11)]
    sweep.insert(1, "kernel_size")  # 7x7
    points = {row.variant: f"{-row.difference:.1f}" for row in roadmap_rows if row.difference is not None}
    assert "{}, {}, {} and {} points worse".format(*(points[name] for name in sweep)) in " ".join(two_epochs.split())


def test_tutorial_quotes_the_kernel_sizes_of_the_committed_study(study_rows):
    rows = [study_rows[f"move_up_depthwise+kernel_size={size}"] for size in (9, 11)]
    points = [f"{-row.difference:.1f} points worse" for row in rows if row.difference is not None]
    text = " ".join(DOCS["tutorial.md"].split())
    assert "9x9 is {} than 3x3, and 11x11 is {}".format(*points) in text
    assert "both corrected p-values below 0.001" in text
    assert all(row.difference_holm is not None and row.difference_holm < 0.001 for row in rows)


def test_reproducing_lists_the_accuracies_of_the_paper():
    def name(cell: str) -> str:
        size = re.search(r", (\d+)x", cell)
        step = cell.split("`")[1] if "`" in cell else cell.split()[0]
        return f"{step}+kernel_size={size[1]}" if size else step

    renamed = {"resnet50": "start", "resnet200": "start", "swin_t": "Swin-T,", "swin_b": "Swin-T,"}
    printed = {name(cells[0]): cells[1:] for cells in table_cells(DOCS["reproducing.md"], "| step | `size=t`")}
    expected = {name: ["", ""] for name in printed}
    for column, size in enumerate(("t", "b")):
        for step, row in paper_rows(size).items():
            if sample := row.sample:
                std = "" if sample.std is None else f" ± {sample.std:.2f}"
                expected[renamed.get(step, step)][column] = f"{sample.mean:.2f}{std}"
    assert printed == expected


# Links and names


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_exist(page):
    links = re.findall(r"\]\((?!http)([^)#]+)", PAGES[page])
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_architecture_lists_every_module():
    listed = set(re.findall(r"`(?:\w+/)*(\w+\.py)`", DOCS["architecture.md"]))
    modules = {
        path.name
        for path in (ROOT / "src").rglob("*.py")
        if path.name != "__init__.py" and path.parent.name != "commands"
    }
    assert listed == modules | {"train.py"}


def test_readme_lists_every_step_and_protocol():
    assert re.findall(r"^\| `(\w+)` \|", section("The roadmap"), re.MULTILINE) == MAIN_PATH
    protocols = {name for cells in table_cells(README, "| `protocol=`") for name in re.findall(r"`(\w+)`", cells[0])}
    assert protocols == {path.stem for path in (ROOT / "configs/protocol").glob("*.yaml")}


# Commands


def documented_commands() -> Iterator[tuple[str, list[str]]]:
    """The page and the words of each command `modernet VERB ...` or `python train.py ...` in a shell block."""
    for page, text in PAGES.items():
        for block in [*code_blocks(text, "sh"), *code_blocks(text, "bash")]:
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["torchrun"]:
                    words = ["python", *words[2:]]
                if words[:2] == ["python", "train.py"]:
                    words[:2] = ["modernet", "train"]
                if words[:1] == ["modernet"]:
                    yield page, words[1:]


def first_value(override: str) -> str:
    """`seed=0,1` -> `seed=0`; lists in brackets stay."""
    name, _, value = override.partition("=")
    return override if value.startswith("[") and not value.startswith("[],") else f"{name}={value.split(',')[0]}"


def test_documented_commands_have_valid_verbs_and_overrides():
    studies.register()
    commands = [(page, verb, arguments) for page, (verb, *arguments) in documented_commands()]
    assert {verb for _, verb, _ in commands} <= {*verbs(), "--help"}
    train = {  # without files of weights, which only the reader has
        tuple(first_value(word) for word in arguments if "=" in word and not word.startswith(("seed=", "finetune=")))
        for _, verb, arguments in commands
        if verb in ("train", "plan") and "--config-dir" not in arguments
    }
    assert len(train) > 10
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        for overrides in sorted(train):
            build_experiment(hydra.compose("config", list(overrides)))


def environment() -> dict[str, str]:
    """One in which `modernet` and `python` are those of this interpreter."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory) -> tuple[Path, list[str]]:
    """README's quickstart in an empty folder: the folder, and the lines that it printed."""
    folder = tmp_path_factory.mktemp("quickstart")
    (command,) = code_blocks(section("Quickstart"), "bash")
    result = subprocess.run(
        ["bash", "-euc", command], cwd=folder, env=environment(), capture_output=True, text=True, check=True
    )
    return folder, [*result.stderr.splitlines(), *result.stdout.splitlines()]


def _without_names(line: str) -> str:
    """A printed line without what another machine or another run changes."""
    return re.sub(r"threads \d+|offline run \w+", "", line)


@pytest.mark.slow
def test_quickstart_prints_the_output_that_readme_quotes(quickstart):
    folder, printed = quickstart
    (quoted,) = code_blocks(section("Quickstart"), "text")
    for line in quoted.splitlines():
        if line == "...":
            continue
        if not line.startswith("epoch"):
            assert _without_names(line) in map(_without_names, printed)
            continue
        epoch = line.split(":")[0]
        (same_epoch,) = (other for other in printed if other.startswith(f"{epoch}:"))
        ours, theirs = (re.findall(r"([\w -]+) ([\d.]+)", text) for text in (line, same_epoch))
        for (name, value), (other_name, other_value) in zip(ours[:-1], theirs[:-1], strict=True):  # without the speed
            tolerance = 0.2 if "loss" in name else 5.0  # percentage points; other CPUs round differently
            assert (name, float(value)) == (other_name, pytest.approx(float(other_value), abs=tolerance))
    assert (folder / printed[-1]).is_file()


@pytest.mark.slow
def test_python_example_runs_after_the_quickstart(quickstart, monkeypatch):
    monkeypatch.chdir(quickstart[0])
    (example,) = code_blocks(section("Python API"), "python")
    names: dict[str, object] = {}
    exec(example, names)  # executes README's own text
    assert sum(parameter.numel() for parameter in names["model"].parameters()) == 671_050  # pyright: ignore


# Examples of configs


def write_examples(folder: Path) -> None:
    """README's yaml files, and the data sets that they describe: 2 classes of flowers, 3 of shapes."""
    examples = re.findall(r"`(my_configs/\S+\.yaml)`(?:(?!```).)*?```yaml\n(.*?)```", README, re.DOTALL)
    assert len(examples) == len(code_blocks(README, "yaml"))
    for name, text in examples:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    generator = np.random.default_rng(0)

    def images(n: int, side: int) -> np.ndarray:
        return generator.integers(0, 256, (n, side, side, 3), np.uint8)

    for split, n in (("train", 32), ("val", 4)):
        for name in ("daisy", "rose"):
            path = folder / "data/flowers" / split / name
            path.mkdir(parents=True)
            for number, image in enumerate(images(n, 72)):
                Image.fromarray(image).save(path / f"{number}.jpg")
    np.savez(
        folder / "data/shapes.npz",
        x_train=images(128, 32),
        y_train=np.arange(128) % 3,
        x_test=images(16, 32),
        y_test=np.arange(16) % 3,
    )


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> dict[str, str]:
    """README's commands on its examples, and what each printed; the runs are short."""
    folder = tmp_path_factory.mktemp("examples")
    write_examples(folder)
    commands = "".join(code_blocks(section("Your own configs"), "bash")).splitlines()
    outputs = {"folder": str(folder)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in commands:
            name, verb, *arguments = shlex.split(command)
            assert name == "modernet"
            result = run_command(verb, *arguments, *(QUICK if verb == "train" else ()))
            assert result.returncode == 0, (command, result.stderr)
            outputs[" ".join(arguments[2:]) or verb] = result.stdout
    return outputs


def printed_records(outputs: dict[str, str], arguments: str) -> list[Record]:
    return [load_record(Path(outputs["folder"], line)) for line in outputs[arguments].splitlines()]


def test_example_step_is_trained_and_stands_behind_its_parent(outputs):
    (record,) = printed_records(outputs, "+step=wider_kernel")
    assert (record.step, record.config["model"]["kernel_size"]) == ("wider_kernel", 11)
    names = re.findall(r"^\| ([\w+=]+) ", outputs["--size micro"], re.MULTILINE)
    assert names.index("convnext") < names.index("wider_kernel") == len(names) - 1
    assert "| wider_kernel " in outputs["table"]


def test_example_recipe_inherits_the_tuned_values_of_the_protocol(outputs):
    (record,) = printed_records(outputs, "+step=wider_kernel recipe=strong_decay")
    recipe = record.config["recipe"]
    assert (recipe["weight_decay"], recipe["lr"], recipe["base_batch_size"]) == (0.1, 4e-3, 64)


def test_example_study_trains_every_combination(outputs):
    records = printed_records(outputs, "+study=wide seed=0,1")
    assert [(record.step, record.seed) for record in records] == [
        (step, seed) for step in ("convnext", "wider_kernel") for seed in (0, 1)
    ]


def test_example_folder_of_images_with_its_protocol(outputs):
    (record,) = printed_records(outputs, "protocol=flowers +step=convnext")
    assert (record.protocol, record.size, record.config["data"]["num_classes"]) == ("flowers", "micro", 2)
    assert record.config["recipe"]["lr"] == 1e-3
    assert record.config["data_fingerprint"]


def test_example_npz_file(outputs):
    (record,) = printed_records(outputs, "protocol=cifar10_micro data=shapes +step=convnext")
    assert (record.data, record.config["data"]["num_classes"]) == ("shapes", 3)
    assert record.config["data_fingerprint"]


def test_examples_leave_no_damaged_record(outputs):
    assert load_records(Path(outputs["folder"])).rejected == []
