"""train.py: what a run leaves, its name, its cache of finished runs, and its messages for mistakes."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import hydra
import numpy as np
import pytest
from helpers import ALL_STEPS, RANDOM_IMAGES, ROOT, printed_record

from modernet import model_cost, roadmap
from modernet.cli import SET_BY_US
from modernet.commands import train as train_command
from modernet.config.search_path import CONFIGS

# DESIGN promises these fields of record.json to other people's scripts.
PROMISED_FIELDS = {
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
}
ALSO_RECORDED = {
    *("schema_version", "top1_ema", "best_top1", "best_epoch", "reason", "machine", "metrics"),
    *("started", "ended", "host", "cpu", "gpus", "versions", "overrides", "peak_host_memory"),
}
QUICK = ("recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=32", *RANDOM_IMAGES)


def visible_names(folder: Path) -> list[str]:
    """Names in the folder of runs, without Hydra's folder of the sweep."""
    return sorted(path.name for path in folder.glob("*") if path.name != ".sweep")


def test_run_writes_record_metrics_config_log_and_weights(train, tmp_path):
    """By the real entry, with wandb as it is by default."""
    recipe = ("recipe.epochs=2", "recipe.warmup_epochs=1", "recipe.batch_size=350")
    result = train("+step=invert_bottleneck", "seed=3", "device=cpu", "wandb=offline", *recipe)
    record = printed_record(result)
    assert set(record) == PROMISED_FIELDS | ALSO_RECORDED
    expected = {"step": "invert_bottleneck", "protocol": "digits", "size": "micro", "seed": 3, "data": "digits"}
    expected |= {"recipe": "modern", "epochs": 2, "status": "done", "device": "cpu"}
    assert {name: record[name] for name in expected} == expected
    assert record["variant"].startswith("invert_bottleneck+recipe.")
    counted = model_cost(replace(roadmap("micro")["invert_bottleneck"], stem_stride=1), image_size=8, num_classes=10)
    assert (record["params"], record["gmacs"]) == (counted.params, counted.gmacs)

    folder = (ROOT / result.stdout.splitlines()[-1]).parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.yaml",
        "metrics.jsonl",
        "model.pt",
        "record.json",
        "steps.jsonl",
        "train.log",
        "wandb",
    ]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in metrics] == [1, 2]
    assert (record["top1"], record["top5"]) == (metrics[-1]["top1"], metrics[-1]["top5"])
    assert record["config"]["model"]["inverted"] is True
    assert "root" not in record["config"]["data"]
    assert visible_names(tmp_path / "runs") == ["digits"]


def test_a_finished_run_of_a_renamed_step_says_which_name_it_has(train, train_in_process, tmp_path):
    (tmp_path / "mine/step").mkdir(parents=True)
    text = "# @package _global_\n# Mine.\ndefaults: [gelu, _self_]\nstep: {}\nmodel: {{kernel_size: 5}}\n"
    (tmp_path / "mine/step/early.yaml").write_text(text.format("early"))
    words = ("--config-dir", tmp_path / "mine", *QUICK)
    finished = printed_record(train_in_process(*words, "+step=early", MODERNET_CONFIG_DIR=""))
    (tmp_path / "mine/step/early.yaml").unlink()
    (tmp_path / "mine/step/late.yaml").write_text(text.format("late"))
    result = train(*words, "+step=late", MODERNET_CONFIG_DIR="")
    assert printed_record(result) == finished
    assert "record.json is of the step early, which is not here" in result.stderr
    assert "is trained as late" in result.stderr
    sweep = train("-m", *words, "+step=late", MODERNET_CONFIG_DIR="")
    line = next(line for line in sweep.stderr.splitlines() if line.startswith("warning: "))
    assert "record.json is of the step early, which is not here" in line


def test_a_finished_run_that_had_the_name_of_a_changed_step_says_so(train, train_in_process, tmp_path):
    """One line for all seeds of a sweep, which stands before its paths."""
    text = "# @package _global_\n# Mine.\ndefaults: [gelu, _self_]\nstep: mine\nmodel: {{kernel_size: {}}}\n"
    for number in (5, 9):
        (tmp_path / f"{number}/step").mkdir(parents=True)
        (tmp_path / f"{number}/step/mine.yaml").write_text(text.format(number))
    before, after = (
        ("--config-dir", tmp_path / number, *QUICK, "-m", f"+step={step}", "seed=0,1")
        for number, step in (("5", "mine"), ("9", "gelu"))
    )
    assert "under another name" not in train_in_process(*before, MODERNET_CONFIG_DIR="").stderr
    result = train(*after, "model.kernel_size=5", MODERNET_CONFIG_DIR="")
    assert "2 runs: 2 done, 0 to train" in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert "(and 1 more) is the run of gelu+" in line
    assert "kernel_size=5" in line
    assert "under another name, mine+" in line


def test_finished_run_is_cached_and_found_without_torch(train, train_in_process, tmp_path):
    finished = printed_record(train_in_process("+step=gelu", *QUICK))
    path = next(tmp_path.rglob("record.json"))
    written = path.stat().st_mtime_ns
    poison = tmp_path / "poison"
    poison.mkdir()
    (poison / "torch.py").write_text("raise ImportError('torch was imported')")
    again = train("+step=gelu", *QUICK, PYTHONPATH=str(poison))
    assert printed_record(again) == finished
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("pattern", "steps"),
    [("fewer_*", ["fewer_activations", "fewer_norms"]), pytest.param("*", ALL_STEPS, marks=pytest.mark.slow)],
)
def test_glob_sweeps_over_steps(train_in_process, tmp_path, pattern, steps):
    result = train_in_process("-m", f"+step=glob({pattern})", *QUICK)
    assert result.returncode == 0, result.stderr
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("record.json")]
    assert sorted(record["step"] for record in records) == sorted(steps)
    assert len(result.stdout.splitlines()) == len(steps)


def test_kernel_sweep_reuses_the_run_of_the_step_kernel_size(train_in_process):
    seven = train_in_process("+step=kernel_size", *QUICK).stdout.splitlines()[-1]
    result = train_in_process("+step=move_up_depthwise", "-m", "model.kernel_size=3,5,7,9,11", *QUICK)
    assert result.returncode == 0, result.stderr
    paths = result.stdout.splitlines()
    assert paths[2] == seven
    records = [json.loads(Path(path).read_text()) for path in paths]
    networks = [(record["step"], record["config"]["model"]["kernel_size"]) for record in records]
    assert networks == [("kernel_size" if size == 7 else "move_up_depthwise", size) for size in (3, 5, 7, 9, 11)]
    assert ["+kernel_size=" in record["variant"] for record in records] == [False, True, False, True, True]
    for path, record in zip(paths, records, strict=True):
        assert Path(path).parent.name.startswith(f"{record['step']}+")


def write_tiny_cifar10(folder: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 32, 32, 3), np.uint8)
    np.savez(folder / "cifar10.npz", x_train=images, y_train=np.arange(8), x_test=images, y_test=np.arange(8))


TWO_STEPS = ("protocol=cifar10_micro", "recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=4")


@pytest.mark.parametrize("step", ["resnet50", "convnext"])
def test_both_ends_train_in_the_size_of_the_paper(train_in_process, tmp_path, step):
    write_tiny_cifar10(tmp_path)
    record = printed_record(train_in_process(f"+step={step}", "size=t", *TWO_STEPS, f"data.root={tmp_path}"))
    assert (record["step"], record["size"], record["status"]) == (step, "t", "done")


@pytest.mark.slow
def test_every_step_trains_in_the_size_of_the_paper(train, tmp_path):
    write_tiny_cifar10(tmp_path)
    result = train("-m", "+step=glob(*)", "size=t", *TWO_STEPS, f"data.root={tmp_path}")
    assert result.returncode == 0, result.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("record.json")]
    assert sorted(record["step"] for record in records) == sorted(roadmap("t"))


@pytest.mark.slow
@pytest.mark.parametrize("step", ["invert_bottleneck", "convnext"])
def test_the_largest_size_trains(train_in_process, tmp_path, step):
    write_tiny_cifar10(tmp_path)
    record = printed_record(train_in_process(f"+step={step}", "size=b", *TWO_STEPS, f"data.root={tmp_path}"))
    assert (record["step"], record["size"], record["status"]) == (step, "b", "done")


@pytest.mark.slow
def test_one_epoch_on_a_part_of_cifar10_learns(train, cifar10_root, tmp_path):
    """A third of the training images and a fifth of the test images, evenly: the file may be sorted by class."""
    strides = {"x_train": 3, "y_train": 3, "x_test": 5, "y_test": 5}
    with np.load(cifar10_root / "cifar10.npz") as file:
        part = {name: file[name][::stride] for name, stride in strides.items()}
    assert all(len(np.unique(part[name])) == 10 for name in ("y_train", "y_test"))
    np.savez(tmp_path / "cifar10.npz", **part)
    arguments = ("protocol=cifar10_micro", "+step=patchify_stem", "recipe.epochs=1", "recipe.batch_size=40")
    record = printed_record(train(*arguments, MODERNET_DATA=str(tmp_path)))
    assert record["data"] == "cifar10"
    assert record["top1"] > 30
    assert record["top5"] > 80


def test_unknown_step_lists_the_steps_in_roadmap_order(train_in_process):
    listed = [line.split()[0] for line in train_in_process("+step=inverted").stdout.splitlines()]
    assert listed == [f"+step={name}" for name in ALL_STEPS]


def test_sweep_with_an_unknown_step_starts_nothing(train_in_process, tmp_path):
    result = train_in_process("-m", "+step=gelu,inverted")
    assert result.returncode == 2
    assert "there is no step 'inverted'" in result.stderr
    assert visible_names(tmp_path / "runs") == []


@pytest.mark.parametrize(
    ("section", "asks"),
    [
        ("", False),
        ("mode: MULTIRUN", True),
        ("job: {env_set: {A: b}}", True),
        ("job: {chdir: true}", True),
        ("callbacks: {mine: {_target_: a.b}}", True),
    ],
)
def test_config_that_asks_something_of_hydra_goes_to_hydra(tmp_path, monkeypatch, section, asks):
    called = []
    monkeypatch.setattr(train_command, "train", lambda: called.append("hydra"))
    monkeypatch.setattr(train_command, "_train", lambda *_, **__: called.append("composed here"))
    configs = tmp_path / "configs"  # as the checkout of a user who changed it
    shutil.copytree(CONFIGS, configs)
    with (configs / "protocol/digits.yaml").open("a") as file:
        file.write(f"\nhydra: {{{section}}}\n")
    initialize = partial(hydra.initialize_config_dir, str(configs), version_base="1.3")
    monkeypatch.setattr(train_command, "initialize_hydra", initialize)
    monkeypatch.setattr("sys.argv", ["train.py", "+step=gelu"])
    train_command.main()
    assert called == ["hydra" if asks else "composed here"]


def test_configs_of_the_user_may_refer_to_hydra(train_in_process, tmp_path):
    folder = tmp_path / "mine/protocol"
    folder.mkdir(parents=True)
    lines = ["# @package _global_", "defaults: [digits, _self_]", "protocol: mine", "recipe: {epochs: 3}"]
    (folder / "mine.yaml").write_text("\n".join([*lines, "data: {root: '${hydra:runtime.cwd}'}", ""]))
    words = ("--config-dir", folder.parent, "protocol=mine", "+step=gelu", "model.width=8")
    assert printed_record(train_in_process(*map(str, words)))["protocol"] == "mine"


def test_hydra_full_error_prints_the_traceback_too(train, monkeypatch):
    monkeypatch.delenv(SET_BY_US, raising=False)  # commands that other tests call in this process set it
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
def test_mistake_in_the_yaml_of_a_users_step_is_one_line(train_in_process, tmp_path, yaml, message):
    (tmp_path / "configs/step").mkdir(parents=True)
    text = f"# @package _global_\n# A mistake.\ndefaults: [gelu, _self_]\nstep: mistake\n{yaml}\n"
    (tmp_path / "configs/step/mistake.yaml").write_text(text)
    result = train_in_process("--config-dir", tmp_path / "configs", "+step=mistake")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert message in result.stderr
    assert not (tmp_path / "runs").exists()


def test_make_lists_its_targets():
    environment = os.environ | {"MAKEFLAGS": ""}
    listed = subprocess.run(["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert {"roadmap", "test", "lint", "freeze"} <= {line.split()[0] for line in listed.splitlines()}
