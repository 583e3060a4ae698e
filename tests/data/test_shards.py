"""Batches of images in shards: resumable at any step, and every image once over all ranks."""

import pytest
import torch
from helpers import printed_record
from image_files import equal_batches, evaluated_numbers, files_config, files_loader

from modernet.errors import UserError
from modernet.runtime.distributed import DistributedEnv

# webdataset leaves it to the garbage collector to close its files.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


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


def test_epoch_holds_as_many_images_as_configured(shards):
    loader = files_loader(files_config("shards", shards), batch_size=24)
    labels = torch.cat([labels for _, labels in loader.train_batches(0)])
    assert labels.sum() == pytest.approx(24)


def test_shards_are_read_from_an_address_with_a_range(shards):
    pattern = shards.parent / "shards/{split}-{000..002}.tar"
    loader = files_loader(files_config("shards", pattern))
    assert evaluated_numbers([loader]) == list(range(7))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root": None}, r"data=shards needs data\.root=DIR"),
        ({"train_images": None}, r"data=shards needs data\.train_images=N"),
        ({"num_classes": None}, r"data=shards needs data\.num_classes=N"),
        ({"root": "."}, r"there is no train-\*\.tar in \."),
        ({"root": "{split}-{000..002}.tar"}, r"there is no shard train-000\.tar"),
    ],
)
def test_incomplete_configs_are_refused(shards, changes, message):
    with pytest.raises(UserError, match=message):
        files_loader(files_config("shards", shards, **changes))


def test_holding_out_needs_two_shards(shards):
    for number in range(1, 6):
        (shards / f"train-00{number}.tar").unlink()
    with pytest.raises(UserError, match="needs at least 2, got 1"):
        files_loader(files_config("shards", shards, split="train/val"))


def test_missing_webdataset_is_reported_with_what_to_install(shards, monkeypatch):
    monkeypatch.setattr("modernet.data.file_lists.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package webdataset: pip install 'modernet\[shards\]'"):
        files_loader(files_config("shards", shards))


def test_shards_train_from_the_command_line(train_in_process, shards):
    recipe = ("recipe.epochs=2", "recipe.warmup_epochs=0", "recipe.batch_size=8", "num_workers=1")
    data = ("data=shards", f"data.root={shards}", "data.num_classes=2", "data.image_size=32", "data.train_images=24")
    record = printed_record(train_in_process("+step=gelu", "model.width=8", *data, *recipe))
    assert (record["data"], record["epochs"]) == ("shards", 2)
