"""Image files, in trees and in shards: any kind of picture, the same batches whoever decodes them."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import data_config, recipe_config
from PIL import Image
from test_train import record_of

from modernet.data.loader import loader as data
from modernet.errors import UserError
from modernet.data.image_folder import Cut, decoded, read_tree
from modernet.runtime.distributed import DistributedEnv, batch_layout
from modernet.config.schema import DataConfig

# webdataset leaves it to the garbage collector to close its files.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

CPU = torch.device("cpu")
MODES = {"RGB": "jpg", "L": "jpg", "CMYK": "jpg", "P": "png", "RGBA": "png", "I;16": "png"}


def picture(number: int, mode: str = "RGB", side: int = 40) -> Image.Image:
    """Its mean tells its number."""
    pixels = np.full((side, side + 8, 3), 10 * number % 250, np.uint8)
    return Image.fromarray(pixels).convert("RGB").convert("L" if mode == "I;16" else mode)


def encoded(number: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    picture(number, mode).save(file, "jpeg" if MODES[mode] == "jpg" else "png")
    return file.getvalue()


@pytest.fixture
def tree(tmp_path) -> Path:
    """Two classes, 24 images to train on and 7 to evaluate on, in all modes."""
    for split, n in (("train", 24), ("val", 7)):
        for number in range(n):
            folder = tmp_path / "tree" / split / ("cat", "dog")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            mode = list(MODES)[number % len(MODES)]
            (folder / f"{number:02}.{MODES[mode]}").write_bytes(encoded(number, mode))
    return tmp_path / "tree"


@pytest.fixture
def shards(tmp_path) -> Path:
    """The same numbers of images in six and three tar files."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for split, n, files in (("train", 24, 6), ("val", 7, 3)):
        for shard in range(files):
            with tarfile.open(folder / f"{split}-{shard:03}.tar", "w") as tar:
                for number in range(shard, n, files):
                    parts = {"jpg": encoded(number), "cls": str(number % 2).encode()}
                    for kind, content in parts.items():
                        info = tarfile.TarInfo(f"{number:04}.{kind}")
                        info.size = len(content)
                        tar.addfile(info, io.BytesIO(content))
    return folder


def spec(kind: str, root: Path, **changes) -> DataConfig:
    here = {"root": str(root), "classes": 2, "image_size": 16, "train_images": 24 if kind == "shards" else None}
    return data_config(kind, **{**here, **changes})


def loader(like: DataConfig, place: DistributedEnv | None = None, workers: int = 0, batch: int = 8, passes: int = 1):
    where = place or DistributedEnv()
    share = batch_layout(where, batch, batch // where.world // passes)
    return data.load(like, recipe_config("modern", batch_size=batch), 0, share, CPU, workers)


def same(one, other) -> bool:
    return all(torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in zip(one, other, strict=True))


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_picture_becomes_rgb(mode):
    image = decoded(io.BytesIO(encoded(9, mode)))
    assert image.mode == "RGB"
    assert np.asarray(image).mean() == pytest.approx(90, abs=3)


def test_evaluation_is_the_middle_of_the_resized_image():
    cut = Cut(data_config("imagenet"), recipe_config("modern"), 0)
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3)))
    middle = cut.evaluation(ramp)  # 224 of 256
    assert middle.shape == (3, 224, 224)
    assert middle[0, 0].tolist() == list(range(16, 240))
    wide = cut.evaluation(Image.new("RGB", (1000, 500), (200, 100, 50)))  # the short side becomes 256
    assert wide.flatten(1).float().mean(1).tolist() == [200, 100, 50]


def test_a_cut_is_a_function_of_its_key():
    cut = Cut(data_config("imagenette"), recipe_config("modern"), seed=1)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    first = cut.training(image, 3, 7)
    assert first.shape == (3, 128, 128)
    torch.rand(5)
    assert torch.equal(first, cut.training(image, 3, 7))
    assert not torch.equal(first, cut.training(image, 4, 7))


def test_batches_are_the_same_whoever_decodes_them(tree):
    alone, helped = loader(spec("folder", tree)), loader(spec("folder", tree), workers=2)
    first = list(alone.training(2))
    assert [len(labels) for _, labels in first] == [8, 8, 8]
    assert same(first, helped.training(2))
    assert same(first[1:], helped.training(2, start=1))
    assert not same(first, helped.training(3))
    assert same(alone.evaluation(), helped.evaluation())


def numbers(batches) -> list[int]:
    """Which images they are, of those in the tests' data sets."""
    like = data_config("folder", root="", num_classes=2)
    mean, std = (torch.tensor(values)[:, None, None] for values in (like.mean, like.std))
    return sorted(round(float((image * std + mean).mean()) * 25.5) for images, _ in batches for image in images)


@pytest.mark.parametrize("kind", ["folder", "shards"])
@pytest.mark.parametrize(("world", "workers"), [(1, 0), (2, 0), (2, 2), (3, 2)])
def test_evaluation_sees_every_image_once_however_it_is_divided(kind, world, workers, request):
    like = spec(kind, request.getfixturevalue("tree" if kind == "folder" else "shards"))
    ranks = [loader(like, DistributedEnv(rank, world), workers, batch=3 * world) for rank in range(world)]
    assert numbers(batch for one in ranks for batch in one.evaluation()) == list(range(7))


def test_held_out_files_come_from_train(tree):
    train, val = read_tree(spec("folder", tree, split="train/val"))
    assert (len(train), len(val)) == (21, 3)
    assert all("/train/" in path for path, _ in train + val)


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_go_on_where_they_were_left(shards, workers):
    some = loader(spec("shards", shards), workers=workers, passes=2)
    first = list(some.training(1))
    assert [len(labels) for _, labels in first] == [4] * 6
    assert same(first, some.training(1))
    assert same(first[2:], some.training(1, start=1))
    assert same(first[4:], some.training(1, start=2))
    assert not same(first, some.training(0))


def test_an_epoch_of_shards_has_every_image_once(shards):
    labels = torch.cat([labels for _, labels in loader(spec("shards", shards), batch=24).training(0)])
    assert labels.sum(0).sum() == pytest.approx(24)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda tree: (tree / "val").rename(tree / "test"), r"val must hold a folder of images for each class"),
        (lambda tree: (tree / "train/eel").mkdir(), r"Found no valid file for the classes eel"),
        (lambda tree: (tree / "val/dog").rename(tree / "val/fox"), r"train and val must have the same classes"),
        (lambda tree: [path.unlink() for path in (tree / "train").rglob("*.*")], "Found no valid file"),
    ],
)
def test_a_wrong_tree_is_refused(tree, spoil, message):
    spoil(tree)
    with pytest.raises(UserError, match=message):
        read_tree(spec("folder", tree))


def test_another_number_of_classes_is_refused(tree):
    with pytest.raises(UserError, match=r"train has 2 classes, data\.num_classes=3"):
        read_tree(spec("folder", tree, num_classes=3))


def test_a_single_shard_cannot_be_held_out(tmp_path):
    (tmp_path / "train-0.tar").touch()
    with pytest.raises(UserError, match="needs at least 2, got 1"):
        loader(spec("shards", tmp_path, split="train/val"))


def test_no_shards_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"there is no train-\*\.tar in"):
        loader(spec("shards", tmp_path))


@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_files_are_trained_on_from_the_command_line(train, kind, request):
    root = request.getfixturevalue("tree" if kind == "folder" else "shards")
    how = ("recipe.epochs=2", "recipe.warmup_epochs=0", "recipe.batch_size=8", "wandb=disabled", "workers=1")
    what = (f"data={kind}", f"data.root={root}", "data.num_classes=2", "data.image_size=32", "data.train_images=24")
    record = record_of(train("+step=gelu", *what, *how))
    assert (record["data"], record["epochs"]) == (kind, 2)


def test_imagenette_is_whole(imagenette_root):
    train, test = read_tree(data_config("imagenette", root=str(imagenette_root)))
    assert (len(train), len(test)) == (9469, 3925)
    batch, labels = next(loader(data_config("imagenette", root=str(imagenette_root))).training(0))
    assert batch.shape == (8, 3, 128, 128)
    assert labels.shape == (8, 10)  # mixed
