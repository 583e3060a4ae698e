"""The files of a data set: images in class folders, shards, or one .npz file. Nothing here imports torch."""

import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from modernet.config.schema import DataConfig
from modernet.errors import UserError, shorten

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # as torchvision's ImageFolder
# Name of a data set -> its folder in data.root.
SUBFOLDERS = {"imagenette": "imagenette160", "imagewoof": "imagewoof160", "imagenet": "imagenet"}
DOWNLOADED = ("cifar10", "cifar100", "tiny_imagenet", "imagenet64")  # .npz files that scripts/get_data.py makes
FILE_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
SHOWN_CLASSES = 10  # in a message
THREADS = 16  # that list class folders; most of the time is latency of a network file system
SHARD_SCHEMES = ("file", "http", "https", "gs", "ais", "hf")  # of addresses; data.allow_pipe adds pipe:


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
    """The splits ROOT/train and ROOT/val, or ROOT/test where there is no val; cached per process.

    Hidden files, hidden folders and files that are no images are ignored. Raises UserError where the folders do not
    have the same classes, each with an image, or not data.num_classes of them.
    """
    root = _required_root(data, "the folder of train/ and val/")
    train, test = _list_splits(root / SUBFOLDERS.get(data.name, ""))
    if data.num_classes not in (None, len(train.classes)):
        raise UserError(
            f"{train.folder} has {len(train.classes)} classes, but data.num_classes={data.num_classes}; "
            "data.num_classes=null reads the number from the folder"
        )
    return train, test


@cache
def _list_splits(root: Path) -> tuple[ImageSplit, ImageSplit]:
    layout = f"{root} must hold train/ and val/ (or test/), each with a folder of images per class"
    if not (root / "train").is_dir():
        raise UserError(f"{layout}; there is no folder {root / 'train'}")
    evaluated = [root / name for name in ("val", "test") if (root / name).is_dir()]
    if not evaluated:
        raise UserError(f"{layout}; there is neither {root / 'val'} nor {root / 'test'}")
    train, test = _list_split(root / "train"), _list_split(evaluated[0])
    differences = [
        f"only {split.folder.name}/ has {shorten(names, SHOWN_CLASSES)}"
        for split, other in ((train, test), (test, train))
        if (names := [name for name in split.classes if name not in other.classes])
    ]
    if differences:
        raise UserError(f"{root}: train and {test.folder.name} must have the same classes; {'; '.join(differences)}")
    return train, test


def _list_split(folder: Path) -> ImageSplit:
    classes = tuple(sorted(entry.name for entry in os.scandir(folder) if _is_folder(entry) and not _is_hidden(entry)))
    if not classes:
        raise UserError(f"{folder} must hold a folder of images per class; it holds no folders")
    with ThreadPoolExecutor(THREADS) as executor:
        images = list(executor.map(_list_class, [folder] * len(classes), classes))
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
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; _regular_size names it where it is called like an image
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


def list_shards(data: DataConfig) -> tuple[list[str], list[str]]:
    """Paths or addresses of the shards of train and of val.

    data.root is a folder of train-*.tar and val-*.tar, or an address with {split} and a range in braces:
    https://HOST/{split}-{000000..000146}.tar. Raises UserError where there are none, and for an address that neither
    is a file nor in an object store.
    """
    if find_spec("webdataset") is None:
        raise UserError("data=shards needs the package webdataset: pip install 'modernet[shards]'")
    _required_root(data, "a folder of train-*.tar and val-*.tar, or an address with {split} in it")
    if data.train_images is None:
        raise UserError(f"data={data.name} needs data.train_images=N, the number of images in the shards of train")
    splits = _list_shards(data, "train"), _list_shards(data, "val")
    schemes = (*SHARD_SCHEMES, "pipe") if data.allow_pipe else SHARD_SCHEMES
    for url in chain(*splits):
        if (scheme := _scheme(url)) and scheme not in schemes:
            allowed = ", ".join(f"{name}:" for name in schemes)
            hint = "; data.allow_pipe=true allows pipe:, which runs a shell command" if scheme == "pipe" else ""
            raise UserError(f"data.root: {scheme}: is no address of shards; allowed: a path, or {allowed}{hint}")
    return splits


def local_path(url: str) -> Path | None:
    """The file of a shard; None for a remote one."""
    if _scheme(url) not in ("", "file"):
        return None
    return Path(url2pathname(urlsplit(url).path) if _scheme(url) else url)


def _scheme(url: str) -> str:
    """http, s3, ...; empty for a path. One letter is a drive. webdataset finds the scheme in the same way."""
    scheme = urlsplit(url).scheme
    return scheme if len(scheme) > 1 else ""


def _list_shards(data: DataConfig, split: str) -> list[str]:
    assert data.root is not None
    if "{split}" in data.root:
        from braceexpand import braceexpand  # webdataset installs it

        urls = data.root.replace("{split}", split).split("::")  # webdataset joins several patterns by ::
        try:
            return [url for pattern in urls for url in braceexpand(pattern)]
        except ValueError as error:
            raise UserError(
                f"data.root: {data.root} has braces that do not match; a range is {{000000..000146}}"
            ) from error
    paths = sorted(map(str, Path(data.root).glob(f"{split}-*.tar")))
    if not paths:
        raise UserError(
            f"there is no {split}-*.tar in {data.root}; data.root may also be an address with {{split}} in it"
        )
    return paths


def npz_path(data: DataConfig) -> Path:
    """ROOT/NAME.npz. Raises UserError where data.root is missing or holds no such file."""
    hint = npz_hint(data.name)
    if data.root is None:
        raise UserError(
            f"data={data.name} needs data.root=DIR or MODERNET_DATA=DIR, the folder of {data.name}.npz; {hint}"
        )
    path = Path(data.root) / f"{data.name}.npz"
    if not path.is_file():
        raise UserError(f"there is no file {path}; data.root or MODERNET_DATA names its folder, and {hint}")
    return path


def npz_hint(name: str) -> str:
    """Where a data set's .npz file comes from, for error messages."""
    if name in DOWNLOADED:
        return f"`python scripts/get_data.py {name} DIR` makes DIR/{name}.npz"
    return f"{name}.npz must hold the arrays x_train, y_train, x_test and y_test"


def _required_root(data: DataConfig, meaning: str) -> Path:
    if data.root is None:
        variable = " or MODERNET_DATA=DIR" if data.name in SUBFOLDERS else ""
        raise UserError(f"data={data.name} needs data.root=DIR{variable}, {meaning}")
    return Path(data.root)
