"""The promises of train.py, by the real entry."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, run_script
from helpers import MAIN_PATH

from modernet import cost
from modernet import roadmap

FIELDS = [
    "step",
    "variant",
    "protocol",
    "size",
    "seed",
    "data",
    "recipe",
    "params",
    "gmacs",
    "top1",
    "top5",
    "val_loss",
    "epochs",
    "train_seconds",
    "images_per_second",
    "device",
    "torch",
    "commit",
    "status",
    "config",
    "top1_ema",
    "reason",
    "machine",
]
QUICK = ("recipe.epochs=2", "recipe.warmup_epochs=1", "recipe.batch_size=256")


def record_of(result: subprocess.CompletedProcess[str]) -> dict:
    assert result.returncode == 0, result.stderr
    return json.loads((ROOT / result.stdout.splitlines()[-1]).read_text())


def leavings(folder: Path) -> list[str]:
    """What lies in the folder of runs, but for Hydra's note of the sweep."""
    return sorted(path.name for path in folder.glob("*") if path.name != ".sweep")


def test_a_run_leaves_its_record_metrics_config_and_log(train, tmp_path):
    result = train("+step=invert_bottleneck", "seed=3", "wandb=offline", *QUICK)
    record = record_of(result)
    assert list(record) == FIELDS
    expected = {"step": "invert_bottleneck", "protocol": "digits", "size": "micro", "seed": 3, "data": "digits"}
    expected |= {"recipe": "modern", "epochs": 2, "status": "done", "device": "cpu"}
    assert {name: record[name] for name in expected} == expected
    assert record["variant"].startswith("invert_bottleneck+recipe.")
    counted = cost(replace(roadmap("micro")["invert_bottleneck"], stem_stride=1), image_size=8, num_classes=10)
    assert (record["params"], record["gmacs"]) == (counted.params, counted.gmacs)

    folder = (ROOT / result.stdout.splitlines()[-1]).parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.yaml",
        "metrics.jsonl",
        "model.pt",
        "record.json",
        "train.log",
        "wandb",
    ]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in metrics] == [1, 2]
    assert (record["top1"], record["top5"]) == (metrics[-1]["top1"], metrics[-1]["top5"])
    assert record["config"]["model"]["inverted"] is True
    assert "root" not in record["config"]["data"]
    assert leavings(tmp_path / "runs") == ["digits"]


def test_a_finished_run_is_found_without_torch_and_an_interrupted_one_ends_as_if_it_was_not(train, tmp_path):
    arguments = ("+step=gelu", "recipe.epochs=3")
    command = [sys.executable, "train.py", *arguments, f"runs={tmp_path / 'runs'}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(path.stat().st_size for path in tmp_path.rglob("metrics.jsonl")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.rglob("record.json"))

    finished = record_of(train(*arguments))
    path = next(tmp_path.rglob("record.json"))
    written = path.stat().st_mtime_ns
    poison = tmp_path / "poison"
    poison.mkdir()
    (poison / "torch.py").write_text("raise ImportError('torch was imported')")
    again = train(*arguments, PYTHONPATH=str(poison))
    assert record_of(again) == finished
    assert path.stat().st_mtime_ns == written

    elsewhere = record_of(run_script("train.py", *arguments, f"runs={tmp_path / 'others'}"))
    scores = ("top1", "top5", "val_loss")
    assert [elsewhere[name] for name in scores] == [finished[name] for name in scores]


def test_a_sweep_trains_every_step_in_every_way_a_step_can_be_named(train, tmp_path):
    result = train("-m", "+step=glob(*)", *QUICK)
    assert result.returncode == 0, result.stderr
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("record.json")]
    assert sorted(record["step"] for record in records) == sorted(MAIN_PATH)
    assert len(result.stdout.splitlines()) == len(MAIN_PATH)


def test_the_kernel_sweep_shares_its_seven_with_the_roadmap(train, tmp_path):
    seven = train("+step=kernel_size", *QUICK).stdout.splitlines()[-1]
    result = train("-m", "+step=move_up_depthwise", "model.kernel_size=3,5,7,9,11", *QUICK)
    assert result.returncode == 0, result.stderr
    paths = result.stdout.splitlines()
    kernels = [json.loads(Path(path).read_text())["config"]["model"]["kernel_size"] for path in paths]
    assert kernels == [3, 5, 7, 9, 11]
    assert paths[2] == seven
    assert [Path(path).parent.name.split("+recipe")[0] for path in paths] == [
        "move_up_depthwise",
        "move_up_depthwise+kernel_size=5",
        "kernel_size",
        "move_up_depthwise+kernel_size=9",
        "move_up_depthwise+kernel_size=11",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("size", ["t", "b"])
def test_every_step_trains_in_the_papers_sizes(train, tmp_path, size):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "cifar10.npz", x_train=images, y_train=np.arange(8), x_test=images, y_test=np.arange(8))
    how = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=4")
    result = train("-m", "+step=glob(*)", f"size={size}", "protocol=cifar10_micro", f"data.root={tmp_path}", *how)
    assert result.returncode == 0, result.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("record.json")]
    assert sorted(record["step"] for record in records) == sorted(roadmap(size))


@pytest.mark.slow
def test_an_epoch_on_the_real_cifar10_learns(train, cifar10_root):
    record = record_of(
        train("protocol=cifar10_micro", "+step=patchify_stem", "recipe.epochs=1", MODERNET_DATA=str(cifar10_root))
    )
    assert record["data"] == "cifar10"
    assert record["top1"] > 30
    assert record["top5"] > 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["+step=inverted"], "there is no step 'inverted'; allowed: " + ", ".join(MAIN_PATH)),
        (["step=gelu"], "+step=gelu"),
        (["model.kernel_size=4"], "model.kernel_size must be odd to keep the size, got 4"),
        (["model.kernel_size=-3"], "model.kernel_size: input should be greater than 0, got -3"),
        (["model.kernel_size=big"], "model.kernel_size: input should be a valid integer"),
        (["model.act=swish"], "model.act: input should be 'relu' or 'gelu', got 'swish'"),
        (["model.kernal_size=3"], "there is no field 'model.kernal_size'; allowed: depths, width, stem"),
        (["+model.kernal_size=3"], "there is no field 'model.kernal_size'; allowed: depths, width, stem"),
        (["+colour=red"], "there is no field 'colour'; allowed: amp, channels_last, checkpoint_minutes"),
        (["recipe.optimizer=lion"], "recipe.optimizer: input should be 'sgd' or 'adamw', got 'lion'"),
        (["recipe.batch_size=5000"], "recipe.batch_size must be at most 1437"),
        (["data.split=test"], "data.split: input should be 'train/test' or 'train/val', got 'test'"),
        (["seed=-1"], "seed must be an integer, 0 or more, got -1"),
        (
            ["protocol=cifar"],
            "there is no protocol 'cifar'; allowed: cifar10, cifar10_micro, digits, imagenet, imagenette",
        ),
        (["size=xl"], "there is no size 'xl'; allowed: b, micro, t"),
        (["device=abacus"], "device=abacus cannot be used"),
        (["+step=convnext", "model.stem_stride=4"], "needs images of at least 32 pixels, digits has 8"),
        (["protocol=cifar10_micro", "data.root=/no/such/folder"], "there is no file /no/such/folder/cifar10.npz"),
        (["protocol=cifar10_micro"], "data.root=DIR or MODERNET_DATA=DIR"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_status_2_and_leaves_nothing(train, tmp_path, arguments, message, monkeypatch):
    monkeypatch.delenv("MODERNET_DATA", raising=False)
    result = train(*arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("train.py: error: ")
    assert message in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_mistyped_step_lists_the_steps_in_order(train):
    listed = [line.split()[0] for line in train("+step=inverted").stdout.splitlines()]
    assert listed == [f"+step={name}" for name in MAIN_PATH]


def test_a_sweep_with_a_mistyped_step_starts_nothing(train, tmp_path):
    result = train("-m", "+step=gelu,inverted")
    assert result.returncode == 2
    assert "there is no step 'inverted'" in result.stderr
    assert leavings(tmp_path / "runs") == []


def test_the_traceback_is_there_for_who_asks(train):
    result = train("model.kernel_size=4", HYDRA_FULL_ERROR="1")
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1] == "train.py: error: model.kernel_size must be odd to keep the size, got 4"


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("modle: {act: relu}", "there is no field 'modle'"),
        ("model: {actt: relu}", "there is no field 'model.actt'"),
        ("model: {act: relu", "expected ',' or '}'"),
        ("model: {kernel_size: [3]}", "model.kernel_size: input should be a valid integer, got [3]"),
    ],
)
def test_a_wrong_yaml_file_is_refused(tmp_path, yaml, message):
    """In a copy of the project, as a user would add a step."""
    (tmp_path / "train.py").symlink_to(ROOT / "train.py")
    package = tmp_path / "modernet"
    package.mkdir()
    for path in (ROOT / "src/modernet").glob("*.*"):
        (package / path.name).write_bytes(path.read_bytes())
    for path in (ROOT / "configs").rglob("*.yaml"):
        copy = package / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    text = f"# @package _global_\n# A mistake.\ndefaults: [gelu, _self_]\nstep: mistake\n{yaml}\n"
    (package / "configs/step/mistake.yaml").write_text(text)
    result = run_script("train.py", "+step=mistake", cwd=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert message in result.stderr
    assert not (tmp_path / "results").exists()


def test_make_alone_lists_the_targets():
    environment = os.environ | {"MAKEFLAGS": ""}
    listed = subprocess.run(["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert {"roadmap", "test", "lint", "freeze"} <= {line.split()[0] for line in listed.splitlines()}
