"""`modernet evaluate`: the result of a trained network, per class too, and its files."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import execution_config, run_command, short_experiment
from image_files import files_config, write_folder
from PIL import Image
from safetensors import safe_open

from modernet import load_images, load_run
from modernet.data.fingerprint import resolve_data
from modernet.record import load_record, write_record
from modernet.training.trainer import Trainer


def test_evaluate_prints_the_result_of_the_record_and_writes_its_files(run, tmp_path):
    result = run_command("evaluate", run, "--out", tmp_path, "--logits", tmp_path / "logits.npz", "device=cpu")
    assert result.returncode == 0, result.stderr
    record = load_record(run / "record.json")
    assert f"top-1 {record.top1:.2f} %, top-5 {record.top5:.2f} %, loss {record.val_loss:.4f}" in result.stdout
    names = [
        "summary.json",
        "per_class.csv",
        "confusion.csv",
        "confusion.svg",
        "confusion.png",
        "confusion.pdf",
        "logits.npz",
    ]
    assert result.stdout.splitlines()[-7:] == [str(tmp_path / name) for name in names]
    assert all((tmp_path / name).stat().st_size for name in names)

    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["data"], summary["split"], summary["images"]) == ("digits", "test", 360)
    assert (summary["top1"], summary["top5"]) == pytest.approx((record.top1, record.top5))

    with np.load(tmp_path / "logits.npz") as arrays:
        predictions, labels = arrays["logits"].argmax(1), arrays["labels"]
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (labels, predictions), 1)
    header, *rows = csv.reader((tmp_path / "confusion.csv").read_text().splitlines())
    assert header == ["class", *map(str, range(10))]
    assert [[int(cell) for cell in row[1:]] for row in rows] == matrix.tolist()
    per_class = list(csv.DictReader((tmp_path / "per_class.csv").read_text().splitlines()))
    assert [int(row["images"]) for row in per_class] == matrix.sum(1).tolist()
    expected = 100 * matrix.diagonal() / matrix.sum(1)
    assert [float(row["top1"]) for row in per_class] == pytest.approx(expected.tolist())


def test_another_accuracy_than_the_records_is_noted(run, tmp_path):
    """As after a change of what a step computes."""
    copied = shutil.copytree(run, tmp_path / "run")
    record = load_record(copied / "record.json")
    for top1, is_noted in ((record.top1, False), ((record.top1 or 0) - 1, True)):
        write_record(copied, replace(record, top1=top1))
        result = run_command("evaluate", copied, "--out", tmp_path)
        assert result.returncode == 0, result.stderr
        note = f"note: the record says {top1:.2f} %; has the code of the step changed since?\n"
        assert result.stderr == note * is_noted


def test_a_run_in_bf16_is_evaluated_in_bf16(tmp_path):
    Trainer.from_experiment(short_experiment(epochs=1), tmp_path, execution_config(amp="bf16")).train()
    record = load_record(tmp_path / "record.json")
    assert record.machine["amp"] == "bf16"
    result = run_command("evaluate", tmp_path, "--logits", tmp_path / "logits.npz", "device=cpu")
    assert f"top-1 {record.top1:.2f} %, top-5 {record.top5:.2f} %, loss {record.val_loss:.4f}" in result.stdout
    with np.load(tmp_path / "logits.npz") as arrays, torch.no_grad():
        labels = torch.from_numpy(arrays["labels"])
        loss = torch.nn.functional.cross_entropy(torch.from_numpy(arrays["logits"]), labels).item()
    assert loss == pytest.approx(record.val_loss, abs=1e-6)


def test_evaluate_on_other_data_and_by_the_averaged_weights(run, tmp_path):
    fake = ("--data", "fake", "data.image_size=8", "data.num_classes=10", "data.train_images=64", "data.test_images=16")
    result = run_command("evaluate", run, *fake, "--out", tmp_path)
    assert ": fake, test, 16 images" in result.stdout
    result = run_command("evaluate", run, "--ema", "data.split=train/val")
    assert ": digits, val (10% of train), 144 images" in result.stdout
    assert "note: the network was trained on these images: the run's data.split is train/test" in result.stderr
    assert (run / "evaluation-digits-val-ema/summary.json").is_file()
    assert not (run / "evaluation").exists()


@pytest.mark.parametrize("num_names", [10, 7, 12])
def test_classes_with_other_names_are_named(run, tmp_path, monkeypatch, num_names):
    """The file may have fewer or more names than the network has outputs."""
    arrays = {"x_train": np.zeros((20, 8, 8, 3), np.uint8), "y_train": np.arange(20) % 7}
    arrays |= {"x_test": np.zeros((10, 8, 8, 3), np.uint8), "y_test": np.arange(10) % 7}
    last = "bird \U0010fffd"  # of the private use area
    np.savez(tmp_path / "birds.npz", **arrays, classes=[*(f"bird {label}" for label in range(num_names - 1)), last])
    (tmp_path / "configs/data").mkdir(parents=True)
    text = f"# Birds.\ndefaults: [digits, _self_]\nname: birds\nkind: npz\nroot: {tmp_path}\n"
    (tmp_path / "configs/data/birds.yaml").write_text(text)
    monkeypatch.setenv("MODERNET_CONFIG_DIR", "")
    words = ("--config-dir", tmp_path / "configs", "--data", "birds", "data.num_classes=10")
    result = run_command("evaluate", run, *words, "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "note: the classes of the run have other names: 0 for bird 0" in result.stderr
    assert ("note: no font here has \\U0010fffd: boxes in" in result.stderr) == (num_names <= 10)
    assert "nan" not in result.stdout
    per_class = list(csv.DictReader((tmp_path / "per_class.csv").read_text().splitlines()))
    birds = [f"bird {label}" for label in range(num_names - 1)] + [last]
    names = [*birds[:10], *map(str, range(num_names, 10))]
    assert [row["class"] for row in per_class] == names


def test_users_data_are_evaluated_from_the_record(flowers, tmp_path):
    """No config of that name is known here."""
    result = run_command("evaluate", flowers, "--out", tmp_path, "data.mean=[0.5,0.5,0.5]", "num_workers=0")
    assert result.returncode == 0, result.stderr
    assert "flowers, test/ (val/ is not read), 4 images" in result.stdout
    assert "images, evaluated on 4 images of test/ (val/ is not read)" in (flowers / "train.log").read_text()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["evaluated"], summary["split"]) == ("test/ (val/ is not read)", "test")
    for word, message in (
        ("data.flip=true,false", "several values"),
        ("data.mean=[1,2", "cannot be parsed"),
    ):
        result = run_command("evaluate", flowers, word)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
        assert message in result.stderr


def test_results_on_other_images_or_crops_have_a_folder_of_their_own(flowers, tmp_path):
    (flowers / "evaluation").mkdir()
    other = write_folder(tmp_path)
    for words in ([f"data.root={other}"], ["data.crop_pct=0.5"]):
        result = run_command("evaluate", flowers, *words, "num_workers=0")
        assert result.returncode == 0, result.stderr
        assert (flowers / "evaluation-flowers-test/summary.json").is_file()
        shutil.rmtree(flowers / "evaluation-flowers-test")
    assert not any((flowers / "evaluation").iterdir())
    assert run_command("evaluate", flowers, "num_workers=0").returncode == 0
    assert (flowers / "evaluation/summary.json").is_file()
    shutil.rmtree(flowers / "evaluation")


def test_an_evaluation_replaces_none_of_other_images_or_values(run, tmp_path):
    fake = ("--data", "fake", "data.image_size=8", "data.num_classes=10", "data.train_images=64")
    words = ("evaluate", run, *fake, "data.test_images=16")
    assert run_command(*words).returncode == 0
    summary = run / "evaluation-fake-test/summary.json"
    before = summary.read_text()
    other = run_command("evaluate", run, *fake, "data.test_images=32")
    assert (other.returncode, other.stdout, len(other.stderr.splitlines())) == (2, "", 1)
    assert "has the evaluation of fake, test, data.image_size=8, data.num_classes=10, " in other.stderr
    assert "data.test_images=16, " in other.stderr
    assert summary.read_text() == before
    assert run_command(*words, f"data.root={tmp_path}").returncode == 0, "the same images"
    assert run_command("evaluate", run, *fake, "data.test_images=32", "--out", summary.parent).returncode == 0
    assert json.loads(summary.read_text())["images"] == 32
    shutil.rmtree(summary.parent)


def test_folders_of_one_name_do_not_replace_each_other(flowers, tmp_path):
    first, same, other = (write_folder(tmp_path / name) / "val" for name in ("first", "same", "other"))
    next(path for path in other.rglob("*.*") if path.is_file()).unlink()
    results = [run_command("evaluate", flowers, "--images", path, "num_workers=0") for path in (first, same, other)]
    assert [result.returncode for result in results] == [0, 0, 2], results
    assert f"has the evaluation of {same}, which this one would replace" in results[2].stderr
    shutil.rmtree(flowers / "evaluation-val")


def test_a_relative_root_is_found_from_any_folder(tmp_path, monkeypatch):
    write_folder(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    data = replace(files_config("folder", tmp_path / "images"), name="flowers", root="images")
    experiment = resolve_data(short_experiment(data=data, epochs=1, batch_size=8))
    Trainer.from_experiment(experiment, tmp_path / "run", execution_config()).train()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert ": flowers, val/, 7 images" in run_command("evaluate", tmp_path / "run", "num_workers=0").stdout


def test_image_files_are_loaded_as_in_the_evaluation_of_the_run(flowers, tmp_path):
    result = run_command("evaluate", flowers, "--out", tmp_path, "--logits", tmp_path / "logits.npz", "num_workers=0")
    assert result.returncode == 0, result.stderr
    with torch.inference_mode(), np.load(tmp_path / "logits.npz") as arrays:
        paths = sorted((flowers / "../images/test").glob("*/*"))
        logits = load_run(flowers)(load_images(flowers, paths))
        assert torch.equal(load_images(flowers, str(paths[0])), load_images(flowers, paths[:1]))
        torch.testing.assert_close(logits, torch.from_numpy(arrays["logits"]))


def test_classes_of_different_sizes_have_a_balanced_accuracy(flowers, tmp_path):
    result = run_command("evaluate", flowers, "--out", tmp_path, "num_workers=0")
    summary = json.loads((tmp_path / "summary.json").read_text())
    per_class = list(csv.DictReader((tmp_path / "per_class.csv").read_text().splitlines()))
    mean = sum(float(row["top1"]) for row in per_class) / 2
    assert (summary["balanced_top1"], summary["largest_class"]) == pytest.approx((mean, 75.0))
    assert f"balanced accuracy {mean:.2f} %" in result.stdout
    assert "the largest class has 75.00 % of the images" in result.stdout


def test_a_run_knows_its_classes_without_the_data(flowers, tmp_path):
    assert load_run(flowers).class_names == ("cat", "dog")
    run_command("export", flowers, tmp_path / "weights.safetensors")
    with safe_open(tmp_path / "weights.safetensors", "pt") as opened:
        assert json.loads(opened.metadata()["classes"]) == ["cat", "dog"]
    fake = ("--data", "fake", "data.image_size=16", "data.num_classes=2", "data.train_images=8", "data.test_images=8")
    result = run_command("evaluate", flowers, *fake, "--out", tmp_path, "--logits", tmp_path / "logits.npz")
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "logits.npz") as arrays:
        assert arrays["classes"].tolist() == ["cat", "dog"]


@pytest.mark.parametrize("content", ["", "7", '["cat"]', '["cat", 7]'])
def test_damaged_names_of_classes_are_one_line_and_status_2(flowers, tmp_path, content):
    for name in ("record.json", "model.pt"):
        shutil.copy(flowers / name, tmp_path)
    assert load_run(tmp_path).class_names == ()  # as runs of earlier versions
    (tmp_path / "classes.json").write_text(content)
    result = run_command("evaluate", tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "classes.json must hold a list of 2 texts" in result.stderr


def test_crop_of_the_command_line_wins_over_the_recipes(tmp_path):
    root = write_folder(tmp_path / "images")
    rng = np.random.default_rng(0)
    for path in (root / "val").rglob("*.*"):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(path)
    experiment = short_experiment(data=files_config("folder", root), epochs=1, batch_size=8, crop_pct=0.5)
    Trainer.from_experiment(resolve_data(experiment), tmp_path / "run", execution_config()).train()
    logits = {}
    for crop_pct in (None, 0.5, 1.0):
        words = [] if crop_pct is None else [f"data.crop_pct={crop_pct}"]
        file = tmp_path / "logits.npz"
        result = run_command("evaluate", tmp_path / "run", "--out", tmp_path, "--logits", file, *words)
        assert result.returncode == 0, result.stderr
        with np.load(file) as arrays:
            logits[crop_pct] = arrays["logits"]
    assert np.array_equal(logits[None], logits[0.5])
    assert not np.array_equal(logits[None], logits[1.0])
    assert run_command("evaluate", tmp_path / "run", f"data.crop_pct={experiment.data.crop_pct}").returncode == 0
    folders = [path.name for path in (tmp_path / "run").glob("evaluation*")]
    assert folders == ["evaluation-folder-test"], "another crop than the recipe's, though it is that of the data"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recipe.lr=1"], "recipe.lr=1 does not change an evaluation; allowed: data.FIELD=VALUE"),
        (["data.colour=1"], "colour"),
        (["--data", "flowers"], "there is no data 'flowers'; allowed: "),
        (
            ["--data=fake", "data.num_classes=7", "data.train_images=8", "data.test_images=8"],
            "data=fake has 7 classes, the network of the run 10",
        ),
        (["data.test_images=10"], "data.test_images=10, but data=digits has 360"),
        (["--logits", "logits.txt"], "--logits must end in .npz"),
    ],
)
def test_mistakes_of_evaluate_are_one_line_and_status_2(run, arguments, message):
    result = run_command("evaluate", run, *arguments)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert message in result.stderr
