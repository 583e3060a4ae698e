"""Facts about a data set's files: number of classes and images, and a fingerprint that identifies the content.

The fingerprint is part of a run's identity, so other files below the same data.root give another run. Neither the path
of the files nor the machine changes it. Nothing here imports torch.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from modernet.config.experiment import Experiment
from modernet.config.identity import check_sections, digest, identity
from modernet.config.schema import DataConfig
from modernet.data.classes import ImagesPerClass, check_classes, missing_classes
from modernet.data.file_lists import list_test_images, list_train_images
from modernet.data.file_paths import npz_path
from modernet.data.shard_lists import list_shards, local_path
from modernet.errors import MissingData, UserError
from modernet.runtime.file_names import CHECKPOINTS, CONFIG_FILE, RECORD_FILE
from modernet.runtime.io import write_text

HELD_OUT = 0.1  # fraction of each class, with data.split=train/val
LENGTH = 16  # hexadecimal digits of a fingerprint
DIGITS_CLASSES, DIGITS_PIXELS, DIGITS_TRAIN_IMAGES, DIGITS_TEST_IMAGES = 10, 8, 1437, 360
FACTS_SUFFIX = ".fingerprint.json"  # NAME.npz.fingerprint.json caches the facts about NAME.npz


@dataclass(frozen=True)
class DataFacts:
    """Facts about a data set."""

    num_classes: int
    train_images: int | None  # before data.split=train/val holds some out; None: unknown
    test_images: int | None
    fingerprint: str | None  # None for data without files
    images_per_class: ImagesPerClass | None = None  # of .npz files; folders without an image of a class are refused


def inspect_data(data: DataConfig) -> DataFacts:
    """The facts that the files of a data set give. Raises UserError for missing or invalid files.

    Lists of files are cached in this process, facts about an .npz file beside the file.
    """
    return _INSPECTORS[data.kind](data)


def count_train_images(data: DataConfig) -> int | None:
    """The number of images that are trained on; None where no file gives it. Raises UserError as `inspect_data`."""
    images = inspect_data(data).train_images
    if images is None or data.split == "train/test":
        return images
    return images - num_held_out(images)


def num_held_out(images: int) -> int:
    """How many of the images of train data.split=train/val holds out."""
    return ceil(images * HELD_OUT)


def resolve_data(experiment: Experiment) -> Experiment:
    """The experiment with the number of classes and the fingerprint of its data set.

    Raises UserError where the files are missing or invalid, or hold other numbers than the config says, or where there
    is nothing to learn of a class.
    """
    facts = inspect_data(experiment.data)
    check_image_counts(experiment.data, facts)
    if facts.num_classes < 2:
        raise UserError(f"data={experiment.data.name} has 1 class; a network learns to tell at least 2 apart")
    if facts.images_per_class:
        check_classes(experiment.data, facts.images_per_class, facts.num_classes)
    data = replace(experiment.data, num_classes=facts.num_classes)
    return replace(experiment, data=data, data_fingerprint=facts.fingerprint)


def check_image_counts(data: DataConfig, facts: DataFacts) -> None:
    """Raises UserError where the config says another number of images than the files."""
    for name in ("train_images", "test_images"):
        given, found = getattr(data, name), getattr(facts, name)
        if None not in (given, found) and given != found:
            raise UserError(
                f"data.{name}={given}, but data={data.name} has {found}; the field is for data whose files do not say "
                "the number, and chooses no part of a data set"
            )


def data_warnings(data: DataConfig) -> list[str]:
    """A line for each split of an .npz file that lacks classes, and where nothing checks what is evaluated."""
    facts = inspect_data(data)
    if facts.images_per_class:
        return missing_classes(data, facts.images_per_class, facts.num_classes)
    if data.split == "train/val":
        return []
    if facts.test_images is None:
        return [
            "the number of evaluated images is not checked, so a missing shard goes unseen; data.test_images=N does"
        ]
    if data.kind == "folder" and (train := list_train_images(data)).digest == (test := list_test_images(data)).digest:
        return [f"{test.folder} has the files of {train.folder}: the run is evaluated on what it is trained on"]
    return []


def check_data_unchanged(experiment: Experiment, runs: Path) -> None:
    """Raises UserError where an interrupted run below `runs` is this one but for the content of its data files."""
    if experiment.data_fingerprint is None:
        return
    for folder in sorted((runs / experiment.protocol).glob(f"*-s{experiment.seed}-*")):
        if (folder / RECORD_FILE).exists() or not any(folder.glob(CHECKPOINTS)):
            continue
        interrupted = _load_config(folder / CONFIG_FILE)
        before, now = interrupted.get("data_fingerprint"), experiment.data_fingerprint
        if before in (None, now) or not _is_same_root(interrupted.get("data_root"), experiment.data.root):
            continue
        if _identity_without_files(interrupted) == _identity_without_files(experiment.config):
            raise UserError(
                f"the files below data.root={experiment.data.root} changed since {folder} was interrupted (fingerprint "
                f"{before} before, {now} now); restore the files to resume that run, or delete the folder to train "
                "from the start"
            )


def _load_config(path: Path) -> dict[str, Any]:
    """The config of an interrupted run; empty where it is damaged."""
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(path))
        check_sections(config)
    except (AttributeError, OSError, ValueError, YAMLError):  # AttributeError: a list
        return {}
    return config


def _identity_without_files(config: Mapping[str, Any]) -> dict[str, Any]:
    """The identity without what is read from the files of a data set: the fingerprint and the number of classes."""
    values = {name: value for name, value in config.items() if name not in ("data_root", "data_fingerprint")}
    values["data"] = {name: value for name, value in config["data"].items() if name != "num_classes"}
    return identity(values)


def _is_same_root(before: str | None, now: str | None) -> bool:
    return before is not None and now is not None and Path(before).resolve() == Path(now).resolve()


def _inspect_digits(data: DataConfig) -> DataFacts:
    if data.num_classes is not None and data.num_classes < DIGITS_CLASSES:
        raise UserError(f"data=digits has {DIGITS_CLASSES} classes, got data.num_classes={data.num_classes}")
    if data.image_size != DIGITS_PIXELS:
        raise UserError(f"data=digits has images of {DIGITS_PIXELS} pixels, got data.image_size={data.image_size}")
    return DataFacts(data.num_classes or DIGITS_CLASSES, DIGITS_TRAIN_IMAGES, DIGITS_TEST_IMAGES, None)


def _inspect_fake(data: DataConfig) -> DataFacts:
    return DataFacts(_required_num_classes(data), data.train_images, data.test_images, None)


def _inspect_folder(data: DataConfig) -> DataFacts:
    train, test = list_train_images(data), None
    try:
        test = list_test_images(data)
    except UserError:
        if data.split == "train/test":
            raise
    digests = {"train": train.digest} | ({"test": test.digest} if test else {})
    num_test = len(test.files) if test else None
    return DataFacts(len(train.classes), len(train.files), num_test, digest(digests, LENGTH))


def _inspect_npz(data: DataConfig) -> DataFacts:
    path = npz_path(data)
    status = path.stat()
    # rsync gives a file the date of its original; the time of its last change is another one.
    facts = _npz_facts(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return replace(facts, num_classes=data.num_classes or facts.num_classes)


@cache
def _npz_facts(path: Path, size: int, mtime_ns: int, ctime_ns: int) -> DataFacts:
    """Read the arrays, unless the facts about this version of the file are cached beside it."""
    cache_file = path.with_name(path.name + FACTS_SUFFIX)
    version = {"size": size, "mtime_ns": mtime_ns, "ctime_ns": ctime_ns}
    with suppress(OSError, ValueError, KeyError, TypeError):  # missing or damaged: it is written again
        cached = json.loads(cache_file.read_text(encoding="utf-8"))
        if cached["version"] == version:
            facts = DataFacts(**cached["facts"])
            if facts.images_per_class:  # earlier versions did not count them
                return facts
    from modernet.data.npz import load_arrays  # imports numpy, which a finished run does not need

    arrays = load_arrays(path)
    counts, fingerprint = (len(arrays.train[1]), len(arrays.test[1])), arrays.digest()[:LENGTH]
    facts = DataFacts(arrays.num_classes, *counts, fingerprint, arrays.images_per_class())
    with suppress(OSError):  # a read-only folder
        write_text(cache_file, json.dumps({"version": version, "facts": asdict(facts)}, indent=1) + "\n")
    return facts


def _inspect_shards(data: DataConfig) -> DataFacts:
    train, val = (list(map(_describe_shard, urls)) for urls in list_shards(data))
    shards: dict[str, Any] = {"train": train, "val": val}
    if data.split == "train/val":  # earlier versions held out every tenth shard, which is another run
        shards = {"train": train, "held_out": "images"}
    return DataFacts(_required_num_classes(data), data.train_images, data.test_images, digest(shards, LENGTH))


def _describe_shard(url: str) -> list[str | int]:
    """Name and size of a local file; a remote address as it is."""
    path = local_path(url)
    if path is None:
        return [url]
    if not path.is_file():
        raise MissingData(f"there is no shard {path}")
    return [path.name, path.stat().st_size]


def _required_num_classes(data: DataConfig) -> int:
    if data.num_classes is None:
        raise UserError(f"data={data.name} needs data.num_classes=N, the number of classes; its files do not give it")
    return data.num_classes


_INSPECTORS: dict[str, Callable[[DataConfig], DataFacts]] = {
    "digits": _inspect_digits,
    "npz": _inspect_npz,
    "fake": _inspect_fake,
    "folder": _inspect_folder,
    "shards": _inspect_shards,
}
