"""Batches of images in shards: resumable at any step, and every image once over all ranks."""

import gzip
import os
import tarfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import torch
from helpers import NO_AUGMENTATION, printed_record
from image_files import equal_batches, evaluated_numbers, files_config, files_loader, write_shard

from modernet.config.schema import DataConfig
from modernet.data.fingerprint import count_train_images, inspect_data
from modernet.errors import UserError
from modernet.runtime.distributed import DistributedEnv
from modernet.sweeps.estimate import num_images


@pytest.mark.parametrize(("world_size", "num_workers"), [(1, 0), (2, 0), (2, 2), (3, 2)])
def test_eval_batches_hold_every_image_once(shards, world_size, num_workers):
    data = files_config("shards", shards)
    envs = [DistributedEnv(rank, world_size) for rank in range(world_size)]
    loaders = [files_loader(data, env, num_workers, batch_size=3 * world_size) for env in envs]
    assert evaluated_numbers(loaders) == list(range(7))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_train_batches_resume_at_any_step(shards, num_workers):
    loader = files_loader(files_config("shards", shards), num_workers=num_workers, grad_accum_steps=2)
    batches = list(loader.train_batches(1))
    assert [len(labels) for _, labels in batches] == [4] * 6
    assert equal_batches(batches, loader.train_batches(1))
    assert equal_batches(batches[2:], loader.train_batches(1, first_step=1))
    assert equal_batches(batches[4:], loader.train_batches(1, first_step=2))
    assert not equal_batches(batches, loader.train_batches(0))


SIZES = (1, 7, 2, 19, 5, 16, 11)  # images per shard
NUM_IMAGES = sum(SIZES)
BATCH_SIZE, MICRO_BATCHES = 12, 6


@pytest.fixture
def unequal_shards(tmp_path) -> DataConfig:
    """Shards of different sizes whose images have their number as label."""
    first = 0
    for shard, size in enumerate(SIZES):
        write_shard(tmp_path / f"train-{shard}.tar", {number: number for number in range(first, first + size)})
        first += size
    write_shard(tmp_path / "val-0.tar", {0: 0})
    return files_config("shards", tmp_path, num_classes=NUM_IMAGES, train_images=NUM_IMAGES)


def epoch_of(data: DataConfig, epoch: int = 0, world_size: int = 1, num_workers: int = 0, first_step: int = 0) -> Any:
    """The epoch's batches, step by step: images and labels of all ranks."""
    loaders = [
        files_loader(
            data,
            DistributedEnv(rank, world_size),
            num_workers,
            BATCH_SIZE,
            MICRO_BATCHES // world_size,
            **{**NO_AUGMENTATION, "randaugment": 9.0},
        )
        for rank in range(world_size)
    ]
    ranks = [list(loader.train_batches(epoch, first_step)) for loader in loaders]
    return [
        batch
        for step in range(len(ranks[0]) * world_size // MICRO_BATCHES)
        for batches in ranks
        for batch in batches[step * MICRO_BATCHES // world_size : (step + 1) * MICRO_BATCHES // world_size]
    ]


def test_epoch_holds_every_image_once_but_for_the_last_batch(unequal_shards):
    epochs = [torch.cat([labels for _, labels in epoch_of(unequal_shards, epoch)]).tolist() for epoch in range(6)]
    for labels in epochs:
        assert len(labels) == len(set(labels)) == NUM_IMAGES // BATCH_SIZE * BATCH_SIZE
    assert epochs[0] != epochs[1]
    assert set().union(*epochs) == set(range(NUM_IMAGES))  # every epoch drops others


@pytest.mark.parametrize(("world_size", "num_workers"), [(2, 0), (3, 0), (6, 0), (1, 1), (1, 2), (2, 2)])
def test_batches_depend_neither_on_ranks_nor_on_workers(unequal_shards, world_size, num_workers):
    expected = epoch_of(unequal_shards)
    assert len(expected) == NUM_IMAGES // BATCH_SIZE * MICRO_BATCHES
    assert equal_batches(expected, epoch_of(unequal_shards, 0, world_size, num_workers))
    resumed = epoch_of(unequal_shards, 0, world_size, num_workers, first_step=2)
    assert equal_batches(expected[2 * MICRO_BATCHES :], resumed)


def test_wrong_number_of_train_images_is_refused(unequal_shards):
    with pytest.raises(UserError, match=r"data\.train_images=60, but the 7 shards of train hold 61 images"):
        epoch_of(replace(unequal_shards, train_images=60))


def test_images_of_shards_are_counted_once(unequal_shards, monkeypatch):
    loader = files_loader(unequal_shards)
    assert loader.num_images == NUM_IMAGES
    opened = []
    monkeypatch.setattr("modernet.data.shard_sizes.tarfile.open", lambda path: opened.append(path))
    assert files_loader(unequal_shards).num_images == NUM_IMAGES
    assert not opened


def test_replaced_shard_is_counted_again(unequal_shards, tmp_path):
    assert files_loader(unequal_shards).num_images == NUM_IMAGES
    write_shard(tmp_path / "train-0.tar", {100: 0, 101: 0})
    assert files_loader(replace(unequal_shards, train_images=NUM_IMAGES + 1)).num_images == NUM_IMAGES + 1


def test_shards_of_one_name_in_two_folders_are_two_shards(tmp_path):
    for folder, size in (("a", 3), ("b", 5)):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "train-0.tar"
        write_shard(path, dict.fromkeys(range(size), 0))
        os.truncate(path, 40_960)  # zeros; both have the same size and date
        os.utime(path, (0, 0))
    write_shard(tmp_path / "a/val-0.tar", {0: 0})
    (tmp_path / "b/val-0.tar").write_bytes((tmp_path / "a/val-0.tar").read_bytes())
    root = "::".join(f"{tmp_path}/{folder}/{{split}}-0.tar" for folder in "ab")
    data = replace(files_config("shards", tmp_path, num_classes=8, train_images=8), root=root)
    for _ in range(2):  # the second reads the cache
        assert files_loader(data).num_images == 8


def test_damaged_shard_is_refused(unequal_shards, tmp_path):
    (tmp_path / "train-3.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(UserError, match=r"the shard .*train-3\.tar is not a readable tar file"):
        files_loader(unequal_shards)


@pytest.mark.parametrize("name", ["train-003.tar", "val-001.tar"])
def test_shard_that_is_cut_between_two_images_is_refused(shards, name):
    path = shards / name
    with tarfile.open(path) as tar:
        end = tar.getmembers()[2].offset  # the start of the second image
    content = path.read_bytes()
    path.write_bytes(content[:end])
    with pytest.raises(UserError, match=rf"{name} .*the blocks of zeros at its end are missing"):
        list(files_loader(files_config("shards", shards)).eval_batches())


@pytest.mark.parametrize("change", [gzip.compress, lambda content: content + b"\n"])
def test_compressed_shards_and_bytes_behind_the_end_are_read(shards, change):
    for path in shards.glob("*.tar"):
        path.write_bytes(change(path.read_bytes()))
    loader = files_loader(files_config("shards", shards))
    assert sorted(evaluated_numbers([loader])) == list(range(7))


def test_shard_that_shrank_after_it_was_counted_is_refused(unequal_shards, tmp_path):
    loader = files_loader(unequal_shards)
    write_shard(tmp_path / "train-5.tar", {50: 50})
    with pytest.raises(UserError, match=r"train-5\.tar holds fewer than the 16 images that were counted; delete"):
        list(loader.train_batches(0))


def test_images_of_remote_shards_are_counted_once(unequal_shards, tmp_path, monkeypatch):
    """Over HTTP, as from an object store; the sizes are in the user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    requests = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            super().do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{{split}}-{{0..6}}.tar"
        expected = epoch_of(unequal_shards)
        remote = replace(unequal_shards, root=address)
        assert files_loader(remote).num_images == NUM_IMAGES
        assert len(requests) == len(SIZES)
        assert equal_batches(expected, epoch_of(remote))
        server.shutdown()
    assert (tmp_path / "cache/modernet/shards.sizes.json").is_file()


@pytest.mark.parametrize(
    "root",
    [
        "pipe:touch {marker} # {split}-{000..001}.tar",
        "https://example.org/{split}-0.tar::pipe:touch {marker} # {split}.tar",
        "PIPE:touch {marker} # {split}.tar",
        "sftp://example.org/{split}-0.tar",
        "s3://bucket/{split}-0.tar",  # webdataset cannot read it
    ],
)
def test_addresses_that_run_commands_are_refused(tmp_path, root):
    marker = tmp_path / "marker"
    data = files_config("shards", tmp_path, root=root.replace("{marker}", str(marker)))
    with pytest.raises(UserError, match=r"(pipe|sftp|s3): is no address of shards; allowed: a path, or file:, http:"):
        files_loader(data)
    with pytest.raises(UserError, match="is no address of shards"):
        inspect_data(data)
    assert not marker.exists()


def test_shards_are_read_from_an_address_with_a_range(shards):
    pattern = shards.parent / "shards/{split}-{000..002}.tar"
    loader = files_loader(files_config("shards", pattern, train_images=12))
    assert evaluated_numbers([loader]) == list(range(7))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root": None}, r"data=shards needs data\.root=DIR"),
        ({"train_images": None}, r"data=shards needs data\.train_images=N"),
        ({"num_classes": None}, r"data=shards needs data\.num_classes=N"),
        ({"root": "."}, r"there is no train-\*\.tar in \."),
        ({"root": "https://example.org/{split}-{000..002.tar"}, r"braces that do not match; a range is \{000000"),
        ({"root": "{split}-{000..002}.tar"}, r"there is no shard train-000\.tar"),
    ],
)
def test_incomplete_configs_are_refused(shards, changes, message):
    with pytest.raises(UserError, match=message):
        files_loader(files_config("shards", shards, **changes))


@pytest.mark.parametrize("num_shards", [1, 2, 7])
def test_a_tenth_of_the_images_of_each_class_is_held_out(tmp_path, num_shards):
    """Also where the shards hold one class after another; val is not needed."""
    for shard in range(num_shards):
        numbers = range(140)[shard * 140 // num_shards : (shard + 1) * 140 // num_shards]
        write_shard(tmp_path / f"train-{shard}.tar", {number: number for number in numbers})
    data = files_config("shards", tmp_path, num_classes=140, train_images=140, split="train/val")
    (trained, evaluated), facts = held_out_numbers(data), inspect_data(data)
    assert (len(trained), len(evaluated)) == (126, 14)
    assert sorted(trained + evaluated) == list(range(140))
    assert [number // 10 for number in sorted(evaluated)] == list(range(14))  # one of every ten in a row
    assert len({number % 10 for number in evaluated}) > 3  # at no fixed distance: classes may come in turn
    assert (facts.train_images, count_train_images(data), num_images(data)) == (140, 126, (126, 14))
    assert held_out_numbers(data, world_size=2, num_workers=2)[1] == evaluated


def held_out_numbers(data: DataConfig, world_size: int = 1, num_workers: int = 0) -> tuple[list[int], list[int]]:
    """The labels of the images that are trained on, and of those that are evaluated, by all ranks."""
    envs = [DistributedEnv(rank, world_size) for rank in range(world_size)]
    loaders = [files_loader(data, env, num_workers, 6, **NO_AUGMENTATION) for env in envs]
    trained = [label for loader in loaders for _, labels in loader.train_batches(0) for label in labels.tolist()]
    evaluated = [label for loader in loaders for _, labels in loader.eval_batches() for label in labels.tolist()]
    return trained, sorted(evaluated)


def test_wrong_number_of_evaluated_images_is_refused(shards):
    assert files_loader(files_config("shards", shards, test_images=7))
    with pytest.raises(UserError, match=r"data\.test_images=50000, but the 3 shards of val hold 7 images"):
        files_loader(files_config("shards", shards, test_images=50000))
    (shards / "val-002.tar").unlink()
    with pytest.raises(UserError, match=r"data\.test_images=7, but the 2 shards of val hold 5 images"):
        files_loader(files_config("shards", shards, test_images=7))


def test_held_out_images_of_earlier_versions_are_another_run(shards):
    data = files_config("shards", shards)
    assert inspect_data(replace(data, split="train/val")).fingerprint != inspect_data(data).fingerprint


def test_missing_webdataset_is_reported_with_what_to_install(shards, monkeypatch):
    monkeypatch.setattr("modernet.data.shard_lists.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package webdataset: pip install 'modernet\[shards\]'"):
        files_loader(files_config("shards", shards))


def test_shards_train_from_the_command_line(train_in_process, shards):
    recipe = ("recipe.epochs=2", "recipe.warmup_epochs=0", "recipe.batch_size=8", "num_workers=1")
    data = ("data=shards", f"data.root={shards}", "data.num_classes=2", "data.image_size=32", "data.train_images=24")
    result = train_in_process("+step=gelu", "model.width=8", *data, *recipe)
    record = printed_record(result)
    assert (record["data"], record["epochs"]) == ("shards", 2)
    assert "the number of evaluated images is not checked" in result.stderr
