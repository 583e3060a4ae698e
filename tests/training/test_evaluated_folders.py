"""`modernet evaluate --images`: folders of images beside the data set of the run."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from helpers import run_command
from image_files import write_folder

from modernet import load_images, load_run


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images", "missing"], "there is no folder missing"),
        (
            ["--images", "../images"],
            "folders that are no class of the run: test, train, val; allowed: cat, dog, or their numbers from 0",
        ),
        (["--images", "../images/val", "data.root=."], "--images takes the place of --data, data.root and data.split"),
        (["--images", "../images/val", "--data", "fake"], "--images takes the place of --data"),
    ],
)
def test_wrong_folders_of_images_are_one_line_and_status_2(flowers, monkeypatch, words, message):
    monkeypatch.chdir(flowers)
    result = run_command("evaluate", flowers, *words)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert message in result.stderr
