"""Runs of several processes that are stopped or lose a process are not failed: the same command resumes them."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_identical_runs, run_script
from PIL import Image
from ranks import (
    TORCHRUN,
    Process,
    children,
    end,
    environment_of,
    start,
    start_ranks,
    wait_for,
    wait_for_step,
)

from modernet.runtime.file_names import RECORD_FILE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("interruptions")]

# A network with BatchNorm, and everything that draws random numbers or keeps a state.
RUN = (
    *("+step=modern_recipe", "recipe.micro_batch_size=32", "recipe.epochs=2", "recipe.warmup_epochs=1"),
    *("recipe.mixup_alpha=0.8", "recipe.cutmix_alpha=1.0", "recipe.randaugment=9", "recipe.random_erasing_prob=0.25"),
    *("recipe.drop_path_rate=0.3", "recipe.ema_decay=0.98"),
    *("wandb=disabled", "checkpoint_minutes=0"),
)
STEP = 25  # of 44; in the second epoch
MINUTE = 60


def finish(ranks: list[Process]) -> Path:
    """The folder of a run that ends well."""
    results = [end(rank) for rank in ranks]
    assert [status for status, _, _ in results] == [0] * len(ranks), results
    return Path(results[0][1].splitlines()[-1]).parent


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    """The run of two processes that nothing stopped."""
    return finish(start_ranks([*RUN, f"runs={tmp_path_factory.mktemp('uninterrupted')}"]))


def test_killed_rank_ends_the_other_within_a_minute_and_the_run_resumes(uninterrupted, tmp_path):
    """First the one rank is killed, and then, in the resumed run, the other."""
    arguments = [*RUN, f"runs={tmp_path}"]
    for killed in (0, 1):
        saved = [int(path.name.split("-")[1]) for path in tmp_path.rglob("checkpoint-*.pt")]
        ranks = start_ranks(arguments)
        wait_for_step(tmp_path, max([STEP, *(step + 1 for step in saved)]), ranks[0])
        ranks[killed].kill()
        status, _, err = end(ranks[1 - killed], MINUTE)
        assert status == 1
        assert "train.py: error: another process of the run died" in err
        assert "rerun the same command to resume; last good checkpoint: " in err
        assert "Traceback" not in err
        assert end(ranks[killed])[0] == -signal.SIGKILL
        assert not list(tmp_path.rglob(RECORD_FILE))

    folder = finish(start_ranks(arguments))
    assert (folder / "train.log").read_text().count("resuming from step") == 2
    assert_identical_runs(folder, uninterrupted)


def test_killed_rank_under_torchrun_ends_the_run_within_a_minute_and_it_resumes(uninterrupted, tmp_path):
    command = [*TORCHRUN, "train.py", *RUN, f"runs={tmp_path}"]
    launcher = start(command)
    wait_for_step(tmp_path, STEP, launcher)
    (second,) = [pid for pid in children(launcher.pid) if environment_of(pid).get("RANK") == "1"]
    os.kill(second, signal.SIGKILL)
    assert end(launcher, MINUTE)[0] != 0
    assert not list(tmp_path.rglob(RECORD_FILE))
    assert_identical_runs(finish([start(command)]), uninterrupted)


# Two steps, and an evaluation that takes seconds.
LONG_EVALUATION = (
    *("+step=modern_recipe", "data=fake", "data.image_size=8", "data.num_classes=10", "data.train_images=128"),
    *("data.test_images=20000", "recipe.batch_size=64", "recipe.micro_batch_size=32", "recipe.epochs=1"),
    *("recipe.warmup_epochs=0", "recipe.ema_decay=0.9", "wandb=disabled", "checkpoint_minutes=0"),
)


def test_signal_to_one_rank_during_evaluation_stops_both_after_saving(tmp_path):
    """First the one rank gets a signal, and then, in the evaluation of the resumed run, the other."""
    arguments = [*LONG_EVALUATION, f"runs={tmp_path / 'runs'}"]
    for signalled, stopped_by in enumerate(("SIGTERM", "a signal to another rank")):
        ranks = start_ranks(arguments)
        folder = wait_for_step(tmp_path, 2, ranks[0])
        wait_for(lambda log=folder / "train.log", n=signalled: log.read_text().count("resuming from") == n, ranks[0])
        ranks[signalled].send_signal(signal.SIGTERM)
        (status, _, err), (status1, _, err1) = (end(rank, MINUTE) for rank in ranks)
        assert (status, status1) == (143, 143), (err, err1)
        assert f"stopped by {stopped_by}; rerun the same command to resume from " in err
        assert "Traceback" not in err + err1
        assert not (folder / "metrics.jsonl").exists(), "the evaluation was not over"
        assert not list(tmp_path.rglob(RECORD_FILE))

    resumed = finish(start_ranks(arguments))
    whole = finish(start_ranks([*LONG_EVALUATION, f"runs={tmp_path / 'whole'}"]))
    assert_identical_runs(resumed, whole)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A data set of JPEG files, which worker processes load: two classes of 64 images to train on."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, number in (("train", 64), ("val", 8)):
        for label in ("cat", "dog"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for index in range(number):
                Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(folder / f"{index:02}.jpg")
    return root


def folder_run(images: Path, runs: Path) -> list[str]:
    recipe = ("recipe.batch_size=8", "recipe.micro_batch_size=4", "recipe.epochs=2", "recipe.warmup_epochs=0")
    data = ("data=folder", f"data.root={images}", "data.image_size=32", "num_workers=2")
    return ["+step=modern_recipe", *data, *recipe, "wandb=disabled", "checkpoint_minutes=0", f"runs={runs}"]


def start_folder_run(images: Path, runs: Path) -> Process:
    return start([sys.executable, "train.py", *folder_run(images, runs)])


@pytest.fixture(scope="module")
def uninterrupted_folder_run(images, tmp_path_factory) -> Path:
    return finish([start_folder_run(images, tmp_path_factory.mktemp("folder"))])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_signal_to_the_process_group_saves_although_it_reaches_the_workers(
    images, uninterrupted_folder_run, tmp_path, number
):
    """As `timeout`, Ctrl-C and Slurm send it."""
    process = start_folder_run(images, tmp_path)
    wait_for_step(tmp_path, 9, process)
    os.killpg(process.pid, number)
    status, _, err = end(process, MINUTE)
    assert status == 143, err
    assert f"stopped by {number.name}; rerun the same command to resume" in err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob(RECORD_FILE))
    if number == signal.SIGTERM:
        assert_identical_runs(finish([start_folder_run(images, tmp_path)]), uninterrupted_folder_run)


def test_signal_to_torchrun_reaches_ranks_and_workers_and_the_run_resumes(images, uninterrupted_folder_run, tmp_path):
    command = [*TORCHRUN, "train.py", *folder_run(images, tmp_path)]
    launcher = start(command)
    folder = wait_for_step(tmp_path, 9, launcher)
    ranks = children(launcher.pid)
    launcher.send_signal(signal.SIGTERM)
    end(launcher, MINUTE)
    assert "stopped by SIGTERM" in (folder / "train.log").read_text()
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    assert not list(tmp_path.rglob(RECORD_FILE))
    assert finish([start(command)]) == folder


def test_killed_worker_ends_the_run_without_a_record_and_it_resumes(images, uninterrupted_folder_run, tmp_path):
    process = start_folder_run(images, tmp_path)
    wait_for_step(tmp_path, 5, process)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    status, _, err = end(process, MINUTE)
    assert status == 1
    assert "another process of the run died (" in err, err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob(RECORD_FILE))
    assert_identical_runs(finish([start_folder_run(images, tmp_path)]), uninterrupted_folder_run)


def test_run_killed_before_its_first_checkpoint_continues_its_wandb_run(tmp_path):
    arguments = ("+step=gelu", "recipe.epochs=2", "recipe.warmup_epochs=0", "wandb=offline", f"runs={tmp_path}")
    process = start([sys.executable, "train.py", *arguments])
    (id_file,) = wait_for(
        lambda: [path for path in tmp_path.rglob("wandb/run.json") if "project" in path.read_text()], process
    )
    process.kill()
    process.communicate()
    assert not list(tmp_path.rglob("checkpoint-*.pt"))
    run_id = json.loads(id_file.read_text())["id"]
    time.sleep(1)  # wandb names its folders after the second
    assert run_script("train.py", *arguments).returncode == 0
    folders = [path.name for path in id_file.parent.glob("offline-run-*")]
    assert len(folders) == 2
    assert {name.rpartition("-")[2] for name in folders} == {run_id}
    assert json.loads(id_file.read_text())["id"] == run_id
