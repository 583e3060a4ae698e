"""Lists of image files: the layouts that are read, and an error for every other."""

from pathlib import Path
from shutil import copytree, rmtree
from unicodedata import normalize

import pytest
from helpers import data_config
from image_files import files_config, write_folder
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from modernet.data.file_lists import EXTENSIONS, ImageSplit, list_images, list_labeled_images
from modernet.data.fingerprint import count_train_images, inspect_data
from modernet.data.image_folder import load_splits
from modernet.data.splits import evaluated_split
from modernet.errors import UserError
from modernet.sweeps.estimate import num_images


def listed(split: ImageSplit) -> list[tuple[str, int]]:
    return [(str(split.folder / file.name), file.label) for file in split.files]


def test_images_are_listed_in_the_order_of_torchvisions_image_folder(image_folder):
    for name in ("more/b.jpg", "a/z.JPG", "a b/c.png", "a/y/d.jpg"):
        path = image_folder / "train/cat" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    train, test = list_images(files_config("folder", image_folder))
    assert listed(train) == ImageFolder(str(image_folder / "train")).samples
    assert listed(test) == ImageFolder(str(image_folder / "val")).samples
    assert EXTENSIONS == IMG_EXTENSIONS
    assert train.classes == ("cat", "dog")
    assert all((train.folder / file.name).stat().st_size == file.size for file in train.files)


def test_test_folder_serves_where_there_is_no_val(image_folder):
    (image_folder / "val").rename(image_folder / "test")
    _, test = list_images(files_config("folder", image_folder))
    assert (test.folder, len(test.files)) == (image_folder / "test", 7)


def test_test_folder_is_evaluated_where_val_and_test_have_classes(image_folder):
    copytree(image_folder / "val", image_folder / "test")
    (image_folder / "test/cat/00.jpg").unlink()
    data = files_config("folder", image_folder)
    _, test = list_images(data)
    assert (test.folder, len(test.files)) == (image_folder / "test", 6)
    assert evaluated_split(data) == "test/ (val/ is not read)"


@pytest.mark.parametrize("name", ["", "images/"])
def test_val_is_evaluated_where_test_has_no_labels(image_folder, name):
    """As in ImageNet, whose test images lie in one folder."""
    (image_folder / "test" / name).mkdir(parents=True)
    (image_folder / "test" / name / "00.jpg").write_bytes(b"image")
    data = files_config("folder", image_folder)
    _, test = list_images(data)
    assert test.folder == image_folder / "val"
    assert evaluated_split(data) == "val/ (test/ is not read)"


@pytest.mark.parametrize("spoil", ["missing", "other classes"])
def test_holding_out_needs_train_alone(image_folder, spoil):
    before = inspect_data(files_config("folder", write_folder(image_folder.with_name("copy")), split="train/val"))
    if spoil == "missing":
        rmtree(image_folder / "val")
    else:
        (image_folder / "val/dog").rename(image_folder / "val/fox")
    data = files_config("folder", image_folder, split="train/val")
    kept, held_out = load_splits(data)
    assert (len(kept.files), len(held_out.files)) == (21, 3)
    assert (count_train_images(data), num_images(data)) == (21, (21, 3))
    facts = inspect_data(data)
    assert (facts.num_classes, facts.train_images, facts.test_images) == (2, 24, None)
    assert facts.fingerprint != before.fingerprint  # which covers val/ where it is as it must be, as before


def test_folders_that_held_out_runs_do_not_read_keep_their_fingerprint(image_folder):
    data = files_config("folder", image_folder, split="train/val")
    before = inspect_data(data)
    (image_folder / "test/cat").mkdir(parents=True)
    (image_folder / "test/cat/00.jpg").write_bytes(b"image")
    assert inspect_data(data) == before


def test_hidden_files_and_files_that_are_no_images_are_ignored(image_folder):
    before = write_folder(image_folder.with_name("copy"))
    for name in ("cat/._00.jpg", "cat/notes.txt", ".cache/00.jpg", "cat/.thumbnails/00.jpg", "readme.md"):
        path = image_folder / "train" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    changed, unchanged = (list_images(files_config("folder", folder))[0] for folder in (image_folder, before))
    assert changed.files == unchanged.files
    assert changed.classes == unchanged.classes


def test_numbers_of_classes_are_no_names_of_digits(tmp_path):
    """Folder 1 is class 01 to its owner, and not the class of number 1, 02."""
    for label in "123":
        (tmp_path / label).mkdir()
        (tmp_path / label / "0.png").touch()
    assert [file.label for file in list_labeled_images(tmp_path, ["ant", "bee", "cat", "dog"]).files] == [1, 2, 3]
    with pytest.raises(UserError, match="folders that are no class of the run: 1, 2, 3; allowed: 01, 02, 03, 04"):
        list_labeled_images(tmp_path, ["01", "02", "03", "04"])


def test_imagenette_and_imagenet_are_subfolders_of_the_root(tmp_path):
    write_folder(tmp_path / "imagenette160")
    data = data_config("imagenette", root=str(tmp_path), num_classes=None)
    assert list_images(data)[0].folder == tmp_path / "imagenette160/train"
    with pytest.raises(UserError, match=r"there is no folder .*imagenet/train"):
        list_images(data_config("imagenet", root=str(tmp_path)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "train").rename(root / "training"), r"must hold train/ and val/.* no folder .*train$"),
        (
            lambda root: (root / "val").rename(root / "valid"),
            r"there is neither .*val nor .*test; data\.split=train/val needs train/",
        ),
        (lambda root: (root / "train/eel").mkdir(), r"train has no images of eel; image files end in \.jpg"),
        (lambda root: [path.unlink() for path in (root / "val").rglob("*.*")], "val has no images of cat, dog"),
        (
            lambda root: (root / "val/dog").rename(root / "val/fox"),
            "train and val must have the same classes; only train/ has dog; only val/ has fox",
        ),
        (lambda root: (root / "val/dog").rename(root / "dog"), "only train/ has dog$"),
        (
            lambda root: [(root / f"train/{name}").mkdir() for name in ("\u00fc", "u\u0308")],
            "train has two folders \u00fc, which differ in how their accents are written",
        ),
        (
            lambda root: copytree(root / "val/cat", root / "test/cat"),
            "train and test must have the same classes; only train/ has dog$",
        ),
        (
            lambda root: (root / "train/cat/99.jpg").symlink_to("missing.jpg"),
            r"99\.jpg is no file but a link to nothing",
        ),
    ],
)
def test_other_layouts_are_refused(image_folder, spoil, message):
    spoil(image_folder)
    with pytest.raises(UserError, match=message):
        list_images(files_config("folder", image_folder))


@pytest.mark.parametrize("evaluated", ["val", "test"])
def test_names_with_accents_are_equal_however_they_are_written(image_folder, evaluated):
    if evaluated == "test":  # it has the labels, though there is val/
        copytree(image_folder / "val", image_folder / "test")
    for old, name in (("cat", "a\u00efoli"), ("dog", "gr\u00fcn")):
        (image_folder / "train" / old).rename(image_folder / "train" / name)
        (image_folder / evaluated / old).rename(image_folder / evaluated / normalize("NFD", name))
    train, other = list_images(files_config("folder", image_folder))
    assert other.folder == image_folder / evaluated
    assert train.classes == other.classes == ("a\u00efoli", "gr\u00fcn")
    assert all((other.folder / file.name).is_file() for file in other.files)


def test_folder_without_classes_is_refused(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
    with pytest.raises(UserError, match="train must hold a folder of images per class; it holds no folders"):
        list_images(files_config("folder", tmp_path))


def test_num_classes_that_the_folder_contradicts_are_refused(image_folder):
    assert len(list_images(files_config("folder", image_folder, num_classes=2))[0].classes) == 2
    with pytest.raises(UserError, match=r"train has 2 classes, but data\.num_classes=3"):
        list_images(files_config("folder", image_folder, num_classes=3))


@pytest.mark.parametrize("kind", ["folder", "imagenet"])
def test_missing_root_is_refused(kind):
    with pytest.raises(UserError, match=rf"data={kind} needs data\.root=DIR"):
        list_images(data_config(kind, root=None))


def test_file_names_do_not_depend_on_the_working_directory(image_folder, monkeypatch):
    monkeypatch.chdir(image_folder.parent)
    train, _ = list_images(files_config("folder", Path(image_folder.name)))
    assert train.files == list_images(files_config("folder", image_folder))[0].files
