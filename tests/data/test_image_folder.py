"""Batches of image files: the same for any number of workers, and every image once over all ranks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import NO_AUGMENTATION, data_config, printed_record
from image_files import equal_batches, evaluated_numbers, files_config, files_loader
from PIL import Image

from modernet.data.image_folder import ImageFolderLoader, load_splits
from modernet.data.randaugment import rand_augment
from modernet.runtime.distributed import DistributedEnv
from modernet.runtime.seeding import Purpose, seed_everything


def test_train_batches_do_not_depend_on_workers_or_first_step(image_folder):
    data = files_config("folder", image_folder)
    single, parallel = files_loader(data), files_loader(data, num_workers=2)
    batches = list(single.train_batches(2))
    assert [len(labels) for _, labels in batches] == [8, 8, 8]
    assert equal_batches(batches, parallel.train_batches(2))
    assert equal_batches(batches[1:], parallel.train_batches(2, first_step=1))
    assert not equal_batches(batches, parallel.train_batches(3))
    assert equal_batches(single.eval_batches(), parallel.eval_batches())


def test_randaugment_draws_the_same_on_every_device(image_folder):
    """Of a device, only its type matters here: the crops stay on the CPU."""
    data = files_config("folder", image_folder)
    loader = files_loader(data, random_erasing_prob=0.0)
    assert isinstance(loader, ImageFolderLoader)
    for_device = replace(loader, device=torch.device("meta"))
    crops = [images for _, (images, _) in for_device.load_train_batches(1)]
    for (number, (augmented, _)), cropped in zip(loader.load_train_batches(1), crops, strict=True):
        assert not torch.equal(augmented, cropped)
        seed_everything(0, Purpose.AUGMENT, 1, number, 1)
        expected = rand_augment(cropped, loader.recipe, data.mean)
        assert (augmented.int() - expected.int()).abs().max() <= 1


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


def test_training_images_have_the_size_of_the_recipe_and_evaluated_ones_that_of_the_data(image_folder):
    loader = files_loader(files_config("folder", image_folder), train_image_size=8, crop_pct=1.0)
    assert {tuple(images.shape[1:]) for images, _ in loader.train_batches(0)} == {(3, 8, 8)}
    assert {tuple(images.shape[1:]) for images, _ in loader.eval_batches()} == {(3, 16, 16)}


def test_repeated_augmentation_has_copies_of_an_image_in_a_batch_each_with_its_crop(image_folder):
    """Of 24 images, an epoch has 8, three times each."""
    data, plain = files_config("folder", image_folder), NO_AUGMENTATION
    loader = files_loader(data, batch_size=12, repeated_augmentation=3, **plain)
    assert isinstance(loader, ImageFolderLoader)
    batches = [images for _, (images, _) in loader.load_train_batches(0)]
    assert [len(images) for images in batches] == [12, 12]
    brightness = [[int(image.float().mean().round()) for image in images] for images in batches]
    groups = [values[first::4] for values in brightness for first in range(4)]  # copies are dealt out over the batch
    assert all(max(group) - min(group) <= 2 for group in groups)
    assert len({group[0] for group in groups}) == 8


def test_copies_of_an_image_have_different_crops(tmp_path):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "0.png")
    loader = files_loader(files_config("folder", tmp_path), batch_size=2, repeated_augmentation=2, **NO_AUGMENTATION)
    assert isinstance(loader, ImageFolderLoader)
    ((_, (images, labels)),) = loader.load_train_batches(0)
    assert labels[0] == labels[1]
    assert not torch.equal(images[0], images[1])
