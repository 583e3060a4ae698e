"""The fingerprint of a data set identifies its content: the same files anywhere, and no others."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import data_config, ready_trainer, short_experiment
from image_files import files_config, write_folder, write_shards

from modernet.config.experiment import Experiment
from modernet.config.schema import DataConfig
from modernet.data.fingerprint import check_data_unchanged, data_warnings, inspect_data, resolve_data
from modernet.errors import Interrupted, UserError
from modernet.runtime.signals import ShutdownSignal


def fingerprint(data: DataConfig) -> str:
    value = inspect_data(data).fingerprint
    assert value is not None
    return value


def append_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def test_folder_gives_classes_counts_and_fingerprint(image_folder):
    facts = inspect_data(files_config("folder", image_folder))
    assert (facts.num_classes, facts.train_images, facts.test_images) == (2, 24, 7)


def test_folder_fingerprint_depends_neither_on_path_nor_on_file_order(tmp_path, monkeypatch):
    one = write_folder(tmp_path / "one")
    two = tmp_path / "elsewhere/two"
    for path in sorted(one.rglob("*.*"), reverse=True):
        copy = two / path.relative_to(one)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (two / "val").rename(two / "test")
    expected = fingerprint(files_config("folder", one))
    assert fingerprint(files_config("folder", two)) == expected
    monkeypatch.chdir(tmp_path)
    assert fingerprint(files_config("folder", Path("one"))) == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "train/cat/00.jpg").unlink(),
        lambda root: (root / "val/cat/00.jpg").rename(root / "val/cat/new.jpg"),
        lambda root: append_byte(root / "train/dog/01.jpg"),
        lambda root: append_byte(root / "val/dog/01.jpg"),
        lambda root: [(root / split / "cat").rename(root / split / "bird") for split in ("train", "val")],
        lambda root: (root / "val/cat/00.jpg").rename(root / "train/cat/99.jpg"),
    ],
)
def test_folder_fingerprint_changes_with_the_files(tmp_path, change):
    folders = write_folder(tmp_path / "before"), write_folder(tmp_path / "after")
    change(folders[1])
    before, after = (fingerprint(files_config("folder", folder)) for folder in folders)
    assert before != after


def test_shards_fingerprint_is_of_names_and_sizes(shards, tmp_path):
    expected = fingerprint(files_config("shards", shards))
    copy = write_shards(tmp_path / "copy")
    assert fingerprint(files_config("shards", copy)) == expected
    assert fingerprint(files_config("shards", Path(f"{copy}/{{split}}-{{000..002}}.tar"))) != expected  # three of six
    append_byte(copy / "val-000.tar")
    assert fingerprint(files_config("shards", copy)) != expected


def test_shards_fingerprint_of_an_address_is_of_the_list():
    addresses = [f"https://example.org/{{split}}-{{000..00{last}}}.tar" for last in (2, 2, 3)]
    one, same, longer = (fingerprint(files_config("shards", Path(), root=address)) for address in addresses)
    assert one == same != longer


@pytest.fixture
def save_npz(tmp_path) -> Callable[..., DataConfig]:
    """Save a data set of three classes as FOLDER/cifar10.npz, with these changes; returns the config that reads it."""

    def save(folder: str = "npz", compress: bool = False, **changes: np.ndarray) -> DataConfig:
        images = np.arange(12 * 4 * 4 * 3, dtype=np.uint8).reshape(12, 4, 4, 3)
        labels = np.arange(12) % 3
        arrays = {"x_train": images, "y_train": labels, "x_test": images[:6], "y_test": labels[:6], **changes}
        (tmp_path / folder).mkdir(exist_ok=True)
        (np.savez_compressed if compress else np.savez)(tmp_path / folder / "cifar10.npz", **arrays)
        return data_config("cifar10", root=str(tmp_path / folder), image_size=4, num_classes=None)

    return save


def test_npz_gives_classes_counts_and_fingerprint(save_npz):
    facts = inspect_data(save_npz())
    assert (facts.num_classes, facts.train_images, facts.test_images) == (3, 12, 6)
    names = np.array(["cat", "dog", "eel", "fox"])
    assert inspect_data(save_npz("named", classes=names)).num_classes == 4
    assert inspect_data(replace(save_npz("given"), num_classes=10)).num_classes == 10


def test_npz_fingerprint_depends_neither_on_compression_nor_on_label_type(save_npz):
    labels = (np.arange(12) % 3).astype(np.uint8)
    one, two = save_npz("one"), save_npz("two", compress=True, y_train=labels, y_test=labels[:6].astype(np.int32))
    assert fingerprint(one) == fingerprint(two)


@pytest.mark.parametrize("changed", ["x_train", "y_train", "x_test", "y_test"])
def test_npz_fingerprint_changes_with_every_array(save_npz, changed):
    n = 12 if changed.endswith("train") else 6
    other = np.ones((n, 4, 4, 3), np.uint8) if changed.startswith("x") else np.full(n, 2)
    assert fingerprint(save_npz("one")) != fingerprint(save_npz("two", **{changed: other}))


def test_npz_facts_are_cached_beside_the_file_until_it_changes(save_npz, tmp_path):
    before = inspect_data(save_npz())
    cache = tmp_path / "npz/cifar10.npz.fingerprint.json"
    assert json.loads(cache.read_text())["facts"]["fingerprint"] == before.fingerprint

    code = (
        "import sys; from modernet.data.fingerprint import inspect_data; from modernet.config.schema import DataConfig;"
    )
    code += f"print(inspect_data(DataConfig(name='cifar10', kind='npz', root={str(tmp_path / 'npz')!r})).fingerprint,"
    code += "[name for name in ('torch', 'sklearn', 'numpy') if name in sys.modules])"
    another_process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert another_process.stdout == f"{before.fingerprint} []\n"  # neither torch nor the arrays are loaded

    after = inspect_data(save_npz(x_train=np.zeros((12, 4, 4, 3), np.uint8)))
    assert after.fingerprint != before.fingerprint
    assert json.loads(cache.read_text())["facts"]["fingerprint"] == after.fingerprint


def test_an_npz_file_of_the_same_size_and_date_is_read_again(save_npz, tmp_path):
    """As rsync -t and tar leave it."""
    before = inspect_data(save_npz())
    path = tmp_path / "npz/cifar10.npz"
    status = path.stat()
    data = save_npz(x_train=np.full((12, 4, 4, 3), 7, np.uint8))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert inspect_data(data).fingerprint != before.fingerprint


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 1}'])
def test_damaged_cache_of_npz_facts_is_replaced(save_npz, tmp_path, content):
    data = save_npz()
    cache = tmp_path / "npz/cifar10.npz.fingerprint.json"
    cache.write_text(content)
    facts = inspect_data(data)
    assert json.loads(cache.read_text())["facts"]["fingerprint"] == facts.fingerprint


def test_npz_in_a_read_only_folder_is_inspected_without_a_cache(save_npz, tmp_path, monkeypatch):
    data = save_npz()

    def refuse(path: Path, text: str) -> None:
        raise PermissionError(path)

    monkeypatch.setattr("modernet.data.fingerprint.write_text", refuse)
    assert inspect_data(data).fingerprint
    assert [path.name for path in (tmp_path / "npz").iterdir()] == ["cifar10.npz"]


def test_resolve_data_makes_the_files_part_of_the_identity(tmp_path):
    folders = write_folder(tmp_path / "a"), write_folder(tmp_path / "b")
    append_byte(folders[1] / "train/cat/00.jpg")
    a, b = (resolve_data(short_experiment(data=files_config("folder", folder))) for folder in folders)
    assert a.data.num_classes == 2
    assert a.data_fingerprint != b.data_fingerprint
    assert a.hash != b.hash
    digits = resolve_data(short_experiment())
    assert digits == short_experiment()


@pytest.mark.parametrize("field", ["train_images", "test_images"])
def test_a_number_that_is_not_that_of_the_files_is_refused(field):
    """Its record would say that a part of the data set was used."""
    with pytest.raises(UserError, match=f"data.{field}=7, but data=digits has"):
        resolve_data(short_experiment(data=data_config("digits", **{field: 7})))


def test_digits_have_one_size():
    with pytest.raises(UserError, match=r"data=digits has images of 8 pixels, got data.image_size=16"):
        inspect_data(data_config("digits", image_size=16))


def test_fingerprints_never_change(save_npz, tmp_path):
    """A changed fingerprint would give every run on data files another hash."""
    for number, name in enumerate(("a/train/x/1.jpg", "a/val/x/2.png", "b/train-0.tar", "b/val-0.tar")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0" * number)
    fingerprints = [
        fingerprint(data)
        for data in (files_config("folder", tmp_path / "a"), files_config("shards", tmp_path / "b"), save_npz())
    ]
    assert fingerprints == ["3bb37c811765d0fb", "02a1aa568e0cf9cb", "7ad297047cae1f77"]


@pytest.mark.parametrize("kind", ["folder", "shards", "cifar10"])
def test_missing_files_are_refused(kind, tmp_path):
    changes = {} if kind == "cifar10" else {"num_classes": 2, "train_images": 24}
    with pytest.raises(UserError, match=r"there is no|must hold"):
        resolve_data(short_experiment(data=data_config(kind, root=str(tmp_path / "missing"), **changes)))


def test_an_evaluation_on_the_images_of_the_training_is_warned_of(image_folder, tmp_path):
    assert data_warnings(files_config("folder", image_folder)) == []
    train, val = tmp_path / "linked/train", tmp_path / "linked/val"
    shutil.copytree(image_folder / "train", train)
    val.symlink_to("train")
    (warning,) = data_warnings(files_config("folder", train.parent))
    assert warning == f"{val} has the files of {train}: the run is evaluated on what it is trained on"


class TestCheckDataUnchanged:
    @pytest.fixture
    def interrupted(self, tmp_path, image_folder) -> Experiment:
        """A run on the folder that a signal stopped after its first step."""
        experiment = self.experiment(image_folder)
        shutdown = ShutdownSignal()
        folder = experiment.folder(tmp_path / "runs")
        with ready_trainer(folder, experiment, shutdown=shutdown) as trainer:
            shutdown.requested = "SIGTERM"
            with pytest.raises(Interrupted):
                list(trainer.epochs())
        assert list(folder.glob("checkpoint-*.pt"))
        return experiment

    @staticmethod
    def experiment(root: Path, seed: int = 0) -> Experiment:
        data = files_config("folder", root)
        return resolve_data(short_experiment(data=data, seed=seed, epochs=1, warmup_epochs=0, batch_size=8))

    def test_changed_files_are_refused_with_the_folder_to_delete(self, interrupted, tmp_path, image_folder):
        check_data_unchanged(interrupted, tmp_path / "runs")
        changed = replace(interrupted, data_fingerprint="0123456789abcdef")
        with pytest.raises(UserError) as refusal:
            check_data_unchanged(changed, tmp_path / "runs")
        message, folder = str(refusal.value), interrupted.folder(tmp_path / "runs")
        assert f"the files below data.root={image_folder} changed since {folder} was interrupted" in message
        assert f"{interrupted.data_fingerprint} before, 0123456789abcdef now" in message
        assert "restore the files" in message
        assert "delete the folder" in message

    @pytest.mark.parametrize("content", ["data_fingerprint: abc\ndata_root: {root}\n", "- a list\n", "data: [1"])
    def test_damaged_config_is_no_config(self, interrupted, tmp_path, image_folder, content):
        path = interrupted.folder(tmp_path / "runs") / "config.yaml"
        path.write_text(content.replace("{root}", str(image_folder)))
        check_data_unchanged(replace(interrupted, data_fingerprint="new"), tmp_path / "runs")

    def test_new_class_is_a_change(self, interrupted, tmp_path):
        data = replace(interrupted.data, num_classes=3)
        with pytest.raises(UserError, match="changed since"):
            check_data_unchanged(replace(interrupted, data=data, data_fingerprint="new"), tmp_path / "runs")

    def test_other_runs_are_unaffected(self, interrupted, tmp_path):
        changed = replace(interrupted, data_fingerprint="new")
        others = [
            replace(changed, seed=1),
            replace(changed, recipe=replace(changed.recipe, epochs=3)),
            replace(changed, data=replace(changed.data, root=str(tmp_path))),
            replace(changed, protocol="imagenette"),
            replace(changed, data_fingerprint=None),
        ]
        for other in others:
            check_data_unchanged(other, tmp_path / "runs")

    def test_finished_runs_are_unaffected(self, interrupted, tmp_path):
        (interrupted.folder(tmp_path / "runs") / "record.json").touch()
        check_data_unchanged(replace(interrupted, data_fingerprint="new"), tmp_path / "runs")

    def test_damaged_configs_are_skipped(self, interrupted, tmp_path):
        (interrupted.folder(tmp_path / "runs") / "config.yaml").write_text("[: damaged")
        check_data_unchanged(replace(interrupted, data_fingerprint="new"), tmp_path / "runs")
