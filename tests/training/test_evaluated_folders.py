"""`modernet evaluate --images`: folders of images beside the data set of the run."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from helpers import run_command, short_experiment, train_to_record
from image_files import write_folder
from PIL import Image

from modernet import load_images, load_run
from modernet.data import in_memory
from modernet.errors import UserError
from modernet.record import load_record


@pytest.mark.parametrize("name", ["dog", "1"])
def test_a_folder_of_images_alone_is_evaluated(flowers, tmp_path, name):
    """Without train/, and with a single class, which is the second of the run: by its name or its number."""
    shutil.copytree(flowers / "../images/train/dog", tmp_path / "new" / name)
    words = ("--images", tmp_path / "new", "--out", tmp_path, "--logits", tmp_path / "logits.npz", "num_workers=0")
    result = run_command("evaluate", flowers, *words)
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "logits.npz") as arrays, torch.inference_mode():
        logits, labels = torch.from_numpy(arrays["logits"]), arrays["labels"]
        assert arrays["classes"].tolist() == ["cat", "dog"]
        expected = load_run(flowers)(load_images(flowers, sorted((tmp_path / "new").glob("*/*"))))
    assert labels.tolist() == [1] * len(expected)
    torch.testing.assert_close(logits, expected)
    top1 = 100 * (expected.argmax(1) == 1).double().mean().item()
    assert f"{tmp_path / 'new'}, {len(expected)} images\ntop-1 {top1:.2f} %" in result.stdout
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["data"], summary["evaluated"]) == (None, str(tmp_path / "new"))
    per_class = csv.DictReader((tmp_path / "per_class.csv").read_text().splitlines())
    assert [row["images"] for row in per_class] == ["0", str(len(expected))]


def test_a_network_for_arrays_is_evaluated_on_image_files(run, tmp_path):
    """The digits have no names; their numbers are those of the folders."""
    images = write_folder(tmp_path) / "train"
    (images / "cat").rename(images / "3")
    (images / "dog").rename(images / "7")
    result = run_command("evaluate", run, "--images", images, "num_workers=0")
    assert result.returncode == 0, result.stderr
    with (run / "evaluation-train/per_class.csv").open() as file:
        assert [row["class"] for row in csv.DictReader(file) if row["images"] != "0"] == ["3", "7"]
    shutil.rmtree(run / "evaluation-train")


@pytest.mark.parametrize("words", [(), ("data.crop_pct=0.7",)])
def test_image_files_of_arrays_are_evaluated_uncropped_as_the_arrays_were(tmp_path, words):
    """Though the recipe has a crop for image files. One that the command line names is used."""
    experiment = short_experiment(epochs=2, crop_pct=0.7)
    record = load_record(train_to_record(tmp_path / "run", experiment) / "record.json")
    test = in_memory.load_images(experiment.data)[1]
    for number, (image, label) in enumerate(zip(test.images, test.labels.tolist(), strict=True)):
        path = tmp_path / f"files/{label}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    result = run_command("evaluate", tmp_path / "run", "--images", tmp_path / "files", "num_workers=0", *words)
    assert result.returncode == 0, result.stderr
    assert (f"top-1 {record.top1:.2f} %" in result.stdout) == (not words)
    paths = [next((tmp_path / "files").glob(f"*/{number}.png")) for number in range(len(test.labels))]
    with torch.inference_mode():
        hits = load_run(tmp_path / "run")(load_images(tmp_path / "run", paths)).argmax(1) == test.labels
    assert 100 * hits.double().mean().item() == pytest.approx(record.top1)


def test_folders_of_other_classes_are_compared_with_the_network(flowers, tmp_path):
    shutil.copytree(flowers / "../images", tmp_path / "images")
    for split in ("train", "val", "test"):
        shutil.copytree(tmp_path / "images" / split / "dog", tmp_path / "images" / split / "fox")
    result = run_command("evaluate", flowers, f"data.root={tmp_path / 'images'}")
    assert result.returncode == 2
    assert result.stderr == "evaluate.py: error: data=flowers has 3 classes, the network of the run 2\n"


def test_no_images_to_load_are_a_mistake(run):
    with pytest.raises(UserError, match="load_images needs one path or more"):
        load_images(run, [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images", "missing"], "there is no folder missing"),
        (
            ["--images", "../images"],
            "folders that are no class of the run: test, train, val; allowed: cat, dog, or their numbers from 0",
        ),
        (["--images", "../other"], "folders that are no class of the run: fox; allowed: cat, dog, or their numbers"),
        (["--images", "../images/val", "data.root=."], "--images takes the place of --data, data.root and data.split"),
        (["--images", "../images/val", "--data", "fake"], "--images takes the place of --data"),
    ],
)
def test_wrong_folders_of_images_are_one_line_and_status_2(flowers, monkeypatch, words, message):
    monkeypatch.chdir(flowers)
    if "../other" in words:
        shutil.copytree("../images/val/dog", "../other/dog", dirs_exist_ok=True)
        shutil.copytree("../images/val/dog", "../other/fox", dirs_exist_ok=True)
    result = run_command("evaluate", flowers, *words)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert message in result.stderr
