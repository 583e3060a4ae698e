"""The number of devices does not change a result, or the run is refused before it starts."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from helpers import RANDOM_IMAGES, run_command
from image_files import write_folder
from ranks import TORCHRUN, Process, end, start, start_ranks

from modernet.runtime.file_names import METRICS_FILE, RECORD_FILE

# BatchNorm, and everything that draws random numbers; four steps an epoch.
RUN = (
    *(*RANDOM_IMAGES, "data.train_images=256", "data.test_images=64"),
    *("+step=modern_recipe", "recipe.epochs=2", "recipe.warmup_epochs=1", "recipe.drop_path_rate=0.3"),
    *("recipe.mixup_alpha=0.8", "recipe.cutmix_alpha=1.0", "recipe.randaugment=9", "recipe.random_erasing_prob=0.25"),
    *("recipe.ema_decay=0.98", "wandb=disabled"),
)
MICRO = "recipe.micro_batch_size=32"
LOSSES = ("train_loss", "val_loss")
HITS = ("train_top1", "top1", "top5", "top1_ema")


def epochs_of(process: Process, runs: Path) -> list[dict[str, float]]:
    """Metrics of each epoch of a run that ends well."""
    status, _, err = end(process, 300)
    assert status == 0, err
    (path,) = runs.rglob(METRICS_FILE)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_processes_give_the_losses_of_one_that_accumulates(tmp_path):
    arguments = (*RUN, MICRO)
    alone = epochs_of(start([sys.executable, "train.py", *arguments, f"runs={tmp_path / '1'}"]), tmp_path / "1")
    ranks = start_ranks([*arguments, f"runs={tmp_path / '2'}"])
    both = epochs_of(ranks[0], tmp_path / "2")
    assert end(ranks[1])[:2] == (0, ""), "rank 0 alone prints"
    assert len(alone) == len(both) == 2
    for one, two in zip(alone, both, strict=True):
        assert [two[name] for name in LOSSES] == pytest.approx([one[name] for name in LOSSES], rel=1e-5)
        assert [two[name] for name in HITS] == pytest.approx([one[name] for name in HITS], abs=1.6)  # one of 64
    records = [json.loads(next((tmp_path / name).rglob(RECORD_FILE)).read_text()) for name in "12"]
    layouts = [[record["machine"][name] for name in ("devices", "grad_accum_steps")] for record in records]
    assert layouts == [[1, 2], [2, 1]]
    assert records[0]["config"] == records[1]["config"]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_give_the_losses_of_one_that_accumulates(tmp_path):
    arguments = (*RUN, MICRO, "device=cuda", "amp=off", "compile=off")
    alone = epochs_of(start([sys.executable, "train.py", *arguments, f"runs={tmp_path / '1'}"]), tmp_path / "1")
    both = epochs_of(start([*TORCHRUN, "train.py", *arguments, f"runs={tmp_path / '2'}"]), tmp_path / "2")
    for one, two in zip(alone, both, strict=True):
        assert [two[name] for name in LOSSES] == pytest.approx([one[name] for name in LOSSES], rel=1e-2)
    record = json.loads(next((tmp_path / "2").rglob(RECORD_FILE)).read_text())
    assert record["machine"]["devices"] == len(record["gpus"]) == 2


def test_two_processes_refuse_one_micro_batch_before_they_start(tmp_path):
    ranks = start_ranks([*RUN, f"runs={tmp_path / 'runs'}"])
    (status, out, err), (status1, out1, err1) = map(end, ranks)
    assert (status, status1, out, out1, err1) == (2, 2, "", "", "")
    (line,) = err.splitlines()
    assert line.startswith("train.py: error: recipe.batch_size=64 has 1 micro-batch(es) of 64 images")
    assert "recipe.micro_batch_size=32, or a divisor of it, would fit" in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_torchrun_prints_a_mistake_once(tmp_path):
    status, _, err = end(start([*TORCHRUN, "train.py", *RUN, f"runs={tmp_path / 'runs'}"]))
    assert status != 0
    assert err.count("train.py: error: ") == err.count("recipe.micro_batch_size=32, or") == 1, err
    assert not (tmp_path / "runs").exists()


IMAGENET = ("protocol=imagenet", "data=fake", "data.train_images=1281167", "+study=roadmap")


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (
            (*IMAGENET, "hydra/launcher=slurm_nodes"),
            {},
            r"resnet50.*, seed 0, imagenet: recipe.batch_size=256 has 8 micro-batch\(es\) of 32 .*, which 32 devices",
        ),
        (
            ("+step=gelu,convnext", "hydra/launcher=slurm_node"),
            {},
            r"gelu, seed 0, digits: recipe.batch_size=64 .* 8 devices cannot .*; recipe.micro_batch_size=8, or",
        ),
        (
            ("+step=gelu,convnext", "seed=0,1"),
            {"RANK": "0", "WORLD_SIZE": "2"},
            "gelu, seed 0, digits: recipe.batch_size=64 .* 2 devices cannot .*; recipe.micro_batch_size=32, or",
        ),
    ],
)
def test_sweep_is_refused_whole_where_a_run_does_not_fit_its_devices(tmp_path, arguments, environment, message):
    sweep = ("-m", *arguments, "wandb=disabled", f"runs={tmp_path / 'runs'}")
    result = run_command("train", *sweep, environment=environment)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert re.search(message, line), line
    assert not (tmp_path / "runs/imagenet").exists()
    assert not (tmp_path / "runs/digits").exists()


def test_processes_of_one_run_launch_no_others(tmp_path):
    sweep = ("-m", "+step=gelu", "seed=0,1", MICRO, "hydra/launcher=joblib", "wandb=disabled", f"runs={tmp_path}")
    result = run_command("train", *sweep, environment={"RANK": "0", "WORLD_SIZE": "2"})
    assert (result.returncode, result.stdout) == (2, "")
    assert (
        "the processes that torchrun or srun starts train one run after the other; leave hydra/launcher="
        in result.stderr
    )


@pytest.mark.parametrize("launcher", ["slurm", "slurm_node"])
def test_roadmap_on_imagenet_fits_one_and_eight_devices(tmp_path, launcher):
    result = run_command("plan", *IMAGENET, f"hydra/launcher={launcher}", f"runs={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert "15 runs, 15 to train" in result.stdout


def test_processes_that_begin_different_runs_end(tmp_path):
    """As where another sweep finishes a run between the looks of two processes."""
    ranks = start_ranks([*RUN, MICRO, f"runs={tmp_path / 'runs'}"], of_rank=["seed=0", "seed=1"])
    for status, _, err in list(map(end, ranks)):
        assert status == 1, err
        assert "error: the processes began different runs; rerun the same command" in err
    assert not list(tmp_path.rglob(RECORD_FILE))


def test_damaged_image_is_named_by_the_process_that_reads_it(tmp_path):
    images = write_folder(tmp_path / "images")
    (images / "val/cat/02.jpg").write_bytes(b"\xff\xd8")  # of rank 1
    files = ("data=folder", f"data.root={images}", "data.image_size=32", "num_workers=0")
    recipe = ("recipe.batch_size=8", "recipe.micro_batch_size=4", "recipe.epochs=1", "recipe.warmup_epochs=0")
    ranks = start_ranks(["+step=gelu", *files, *recipe, "wandb=disabled", f"runs={tmp_path / 'runs'}"])
    (status, _, err), (status1, _, err1) = map(end, ranks)
    assert (status, status1) == (1, 2), (err, err1)
    assert "error: another process of the run died" in err
    assert re.search(r"error: .*val/cat/02.jpg is no image", err1)


@pytest.mark.slow
def test_mistake_in_a_run_of_a_sweep_under_torchrun_stops_no_other_run(tmp_path):
    """A tenth of eight images has not one of each class, which the processes see when they have joined."""
    images = write_folder(tmp_path / "images")
    for path in sorted((images / "train").rglob("*.*"))[::3]:
        path.unlink()
    files = ("data=folder", f"data.root={images}", "data.image_size=32", "num_workers=0", "wandb=disabled")
    recipe = ("recipe.batch_size=8", "recipe.micro_batch_size=4", "recipe.epochs=1", "recipe.warmup_epochs=0")
    sweep = ["-m", "+step=gelu", "data.split=train/val,train/test", "seed=0,1", *files, *recipe]
    (status, out, err), (status1, *_) = map(end, start_ranks([*sweep, f"runs={tmp_path / 'runs'}"]))
    assert (status, status1) == (1, 1)
    assert len(out.splitlines()) == 2, err
    assert err.count("needs an image of each class there") == 2
    assert "2 of 4 runs are not done" in err


@pytest.mark.slow
def test_sweep_under_torchrun_trains_each_run_on_all_processes(tmp_path):
    sweep = ("-m", "+step=gelu", "seed=0,1", MICRO, "recipe.epochs=1", "recipe.warmup_epochs=0", "wandb=disabled")
    ranks = start_ranks([*sweep, f"runs={tmp_path}"])
    (status, out, err), (status1, out1, err1) = map(end, ranks)
    assert (status, status1) == (0, 0), (err, err1)
    records = [json.loads(Path(path).read_text()) for path in out.splitlines()]
    assert [(record["seed"], record["machine"]["devices"]) for record in records] == [(0, 2), (1, 2)]
    assert (out1, err1) == ("", "")
