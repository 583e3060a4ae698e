"""Batches of image files: the same for any number of workers, and every image once over all ranks."""

from dataclasses import replace

import pytest
from helpers import data_config, printed_record
from image_files import equal_batches, evaluated_numbers, files_config, files_loader

from modernet.data.image_folder import load_splits
from modernet.runtime.distributed import DistributedEnv


def test_train_batches_do_not_depend_on_workers_or_first_step(image_folder):
    data = files_config("folder", image_folder)
    single, parallel = files_loader(data), files_loader(data, num_workers=2)
    batches = list(single.train_batches(2))
    assert [len(labels) for _, labels in batches] == [8, 8, 8]
    assert equal_batches(batches, parallel.train_batches(2))
    assert equal_batches(batches[1:], parallel.train_batches(2, first_step=1))
    assert not equal_batches(batches, parallel.train_batches(3))
    assert equal_batches(single.eval_batches(), parallel.eval_batches())


@pytest.mark.parametrize(("world_size", "num_workers"), [(1, 0), (2, 0), (2, 2), (3, 2)])
def test_eval_batches_hold_every_image_once(image_folder, world_size, num_workers):
    data = files_config("folder", image_folder)
    envs = [DistributedEnv(rank, world_size) for rank in range(world_size)]
    loaders = [files_loader(data, env, num_workers, batch_size=3 * world_size) for env in envs]
    assert evaluated_numbers(loaders) == list(range(7))


def test_held_out_images_come_from_train(image_folder):
    data = files_config("folder", image_folder)
    all_train, _ = load_splits(data)
    train, val = load_splits(replace(data, split="train/val"))
    assert (len(train.files), len(val.files)) == (21, 3)
    assert sorted(train.files + val.files) == sorted(all_train.files)
    assert val.folder == image_folder / "train"


def test_folder_trains_from_the_command_line_with_classes_from_the_folder(train_in_process, image_folder):
    recipe = ("recipe.epochs=2", "recipe.warmup_epochs=0", "recipe.batch_size=8")
    data = ("data=folder", f"data.root={image_folder}", "data.image_size=32", "num_workers=1")
    record = printed_record(train_in_process("+step=gelu", "model.width=8", *data, *recipe))
    assert (record["data"], record["epochs"]) == ("folder", 2)
    assert record["config"]["data"]["num_classes"] == 2
    assert record["config"]["data_fingerprint"]


def test_imagenette_is_complete(imagenette_root):
    data = data_config("imagenette", root=str(imagenette_root))
    train, test = load_splits(data)
    assert (len(train.files), len(test.files)) == (9469, 3925)
    images, labels = next(files_loader(data).train_batches(0))
    assert images.shape == (8, 3, 128, 128)
    assert labels.shape == (8, 10)  # mixed
