"""The files of a data set: images in class folders, or one .npz file. Nothing here imports torch."""

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from modernet.config.schema import DataConfig
from modernet.data.file_paths import SUBFOLDERS, required_root
from modernet.errors import MissingData, UserError
from modernet.runtime.text import shorten

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # as torchvision's ImageFolder
FILE_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
SHOWN_CLASSES = 10  # in a message
THREADS = 16  # that list class folders; most of the time is latency of a network file system


class ImageFile(NamedTuple):
    """An image in a split's folder."""

    name: str  # CLASS/NAME.jpg, relative to the folder
    label: int
    size: int  # bytes


@dataclass(frozen=True)
class ImageSplit:
    """The images of one split: FOLDER/CLASS/**/NAME.jpg, sorted by name within each class."""

    folder: Path
    classes: tuple[str, ...]  # names; a label is an index of this tuple
    files: list[ImageFile]

    @cached_property
    def digest(self) -> str:
        """A hash of the names and sizes of the files; neither the folder's path nor the locale changes it."""
        sha = hashlib.sha256()
        for file in self.files:
            sha.update(os.fsencode(f"{file.name}\0{file.size}\n"))
        return sha.hexdigest()


def list_images(data: DataConfig) -> tuple[ImageSplit, ImageSplit]:
    """The images of train and those of the evaluated folder."""
    return list_train_images(data), list_test_images(data)


def list_train_images(data: DataConfig) -> ImageSplit:
    """The split ROOT/train; cached per process.

    Hidden files, hidden folders and files that are no images are ignored. Raises UserError where there is no folder,
    where a class has no image, and for another number of classes than data.num_classes.
    """
    root = _image_root(data)
    if not (root / "train").is_dir():
        raise MissingData(f"{_layout(root)}; there is no folder {root / 'train'}")
    train = _list_split(root / "train")
    if data.num_classes not in (None, len(train.classes)):
        raise UserError(
            f"{train.folder} has {len(train.classes)} classes, but data.num_classes={data.num_classes}; "
            "data.num_classes=null reads the number from the folder"
        )
    return train


def list_test_images(data: DataConfig) -> ImageSplit:
    """The split ROOT/test, or ROOT/val where test/ is missing or has no folder of a class; cached per process.

    data.split=train/val evaluates neither; there ROOT/val comes first, as in the fingerprints of earlier runs. Raises
    UserError as list_train_images, and where the classes are not those of train.
    """
    root, train = _image_root(data), list_train_images(data)
    val, test = root / "val", root / "test"
    for folder in (val, test):
        if folder.is_symlink() and not folder.exists():
            raise MissingData(f"{folder} is a link to nothing; delete it, or bring back what it leads to")
    if not (val.is_dir() or test.is_dir()):
        raise MissingData(
            f"{_layout(root)}; there is neither {val} nor {test}; data.split=train/val needs train/ alone and holds "
            "a tenth of it out"
        )
    forms = {unicodedata.normalize(form, name) for name in train.classes for form in ("NFC", "NFD")}
    forms |= {*_class_folders(root / "train").values()}
    has_labels = any((test / name).is_dir() for name in forms)  # not in ImageNet, whose test labels are secret
    is_test = not val.is_dir() or (has_labels and data.split == "train/test")
    evaluated = _list_split(test if is_test else val)
    differences = [
        f"only {split.folder.name}/ has {shorten(names, SHOWN_CLASSES)}"
        for split, other in ((train, evaluated), (evaluated, train))
        if (names := [name for name in split.classes if name not in other.classes])
    ]
    if differences:
        raise UserError(
            f"{root}: train and {evaluated.folder.name} must have the same classes; {'; '.join(differences)}"
        )
    return evaluated


def list_labeled_images(folder: Path, names: Sequence[str]) -> ImageSplit:
    """The images FOLDER/CLASS/**/NAME.jpg, labelled with the numbers of their classes in `names`.

    Classes may be missing. Where no folder is called like a class, all are numbers of classes, unless these have names
    of digits. Raises UserError for other folders, and for those without images.
    """
    if not folder.is_dir():
        raise MissingData(f"there is no folder {folder}; it must hold a folder of images per class")
    split = _list_split(folder)
    numbers = {_composed(name): number for number, name in enumerate(names)}
    if not numbers.keys() & {*split.classes} and not all(map(str.isdecimal, names)):
        numbers = {str(number): number for number in range(len(names))}
    if unknown := [name for name in split.classes if name not in numbers]:
        raise UserError(
            f"{folder} has folders that are no class of the run: {shorten(unknown, SHOWN_CLASSES)}; allowed: "
            f"{shorten(names, SHOWN_CLASSES)}, or their numbers from 0"
        )
    files = [file._replace(label=numbers[split.classes[file.label]]) for file in split.files]
    return ImageSplit(folder, tuple(names), files)


def _image_root(data: DataConfig) -> Path:
    return required_root(data, "the folder of train/ and val/") / SUBFOLDERS.get(data.name, "")


def _layout(root: Path) -> str:
    return f"{root} must hold train/ and val/ (or test/), each with a folder of images per class"


def _composed(name: str) -> str:
    """The name with each accent in its letter: macOS may write ü as u and an accent, which is another text."""
    return unicodedata.normalize("NFC", name)


def _class_folders(folder: Path) -> dict[str, str]:
    """Name of a class -> name of its folder. Raises UserError for two folders of one name."""
    found: dict[str, str] = {}
    with os.scandir(folder) as entries:
        folders = [entry.name for entry in entries if not _is_hidden(entry) and _is_folder(entry)]
    for name in folders:
        if (composed := _composed(name)) in found:
            raise UserError(f"{folder} has two folders {composed}, which differ in how their accents are written")
        found[composed] = name
    return found


@cache
def _list_split(folder: Path) -> ImageSplit:
    folders = _class_folders(folder)
    classes = tuple(sorted(folders))
    if not classes:
        raise UserError(f"{folder} must hold a folder of images per class; it holds no folders")
    with ThreadPoolExecutor(THREADS) as executor:
        images = list(executor.map(_list_class, [folder] * len(classes), [folders[name] for name in classes]))
    empty = [name for name, entries in zip(classes, images, strict=True) if not entries]
    if empty:
        raise UserError(
            f"{folder} has no images of {shorten(empty, SHOWN_CLASSES)}; image files end in {', '.join(EXTENSIONS)}"
        )
    files = [
        ImageFile(f"{parent}/{name}", label, size)
        for label, entries in enumerate(images)
        for parent, name, size in entries
    ]
    return ImageSplit(folder, classes, files)


def _list_class(folder: Path, name: str) -> list[tuple[str, str, int]]:
    """(parent folder, file name, bytes) of each image, folder by folder."""
    try:
        return sorted(_walk(folder / name, name))
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read ({error.strerror})") from error


def _walk(folder: Path, parent: str, above: tuple[tuple[int, int], ...] = ()) -> Iterator[tuple[str, str, int]]:
    """`above`: the folders on the way, which a link must not lead back to."""
    status = folder.stat()
    here = (*above, (status.st_dev, status.st_ino))
    if here[-1] in above:
        raise UserError(f"{folder} is a link to a folder above it; images are listed from folders without such links")
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_hidden(entry):
                continue
            if _is_folder(entry):
                yield from _walk(folder / entry.name, f"{parent}/{entry.name}", here)
            elif entry.name.lower().endswith(EXTENSIONS):
                yield parent, entry.name, _regular_size(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Raises UserError for a link to nothing or to itself: it may have been a folder of images."""
    with suppress(OSError):
        if entry.is_dir():
            return True
    if entry.is_symlink() and not Path(entry).exists():
        _regular_size(entry)
    return False


def _regular_size(entry: os.DirEntry[str]) -> int:
    """Bytes. Raises UserError for anything but a file or a link to one: reading a named pipe would wait forever."""
    try:
        status = entry.stat()
    except OSError as error:
        kind = f"a link to nothing ({os.strerror(error.errno or 0)})" if entry.is_symlink() else str(error.strerror)
        raise UserError(f"{entry.path} is no file but {kind}; delete it, or rename it to hide it") from error
    if not stat.S_ISREG(status.st_mode):
        kind = FILE_KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise UserError(f"{entry.path} is no file but {kind}; delete it, or rename it to hide it")
    return status.st_size


def _is_hidden(entry: os.DirEntry[str]) -> bool:
    return entry.name.startswith(".")
