"""get_data writes what the loader reads."""

import errno
import pickle
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from helpers import MakesFolder, data_config, run_script
from PIL import Image
from torchvision.datasets import CIFAR10

from modernet.commands import get_data
from modernet.data.conversion import (
    convert_cifar,
    convert_imagenet64,
    convert_tiny_imagenet,
    extract_folder,
    write_npz,
)
from modernet.data.download import Archive
from modernet.data.file_paths import DOWNLOADED, SUBFOLDERS
from modernet.data.fingerprint import inspect_data
from modernet.data.in_memory import load_images
from modernet.errors import ModernetError, UserError


def cifar_split(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels."""
    return np.full((n, 32, 32, 3), n, np.uint8), np.ones(n, np.uint8)


def test_written_npz_is_what_the_loader_reads(tmp_path):
    write_npz(tmp_path / "cifar10.npz", cifar_split(50), cifar_split(10), ["a", "b"])
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10.npz"]
    data = data_config("cifar10", root=str(tmp_path), num_classes=None)
    assert inspect_data(data).num_classes == 2
    train, test = load_images(data)
    assert (len(train), len(test)) == (50, 10)
    assert train.images.unique().tolist() == [50]


def test_messages_name_the_data_sets_that_can_be_downloaded():
    assert set(DOWNLOADED) == set(get_data.DATA_SETS) - set(SUBFOLDERS)


def test_npz_on_a_full_disk_names_the_path_and_leaves_nothing_but_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "cifar10.npz"
    path.write_text("the earlier file")

    def write_a_part(part, **arrays):
        part.write_bytes(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", write_a_part)
    with pytest.raises(OSError, match=r"No space left on device: .*cifar10\.npz'"):
        write_npz(path, cifar_split(2), cifar_split(1), None)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("cifar10.npz", "the earlier file")]


def test_wrong_data_set_or_folder_is_a_mistake(tmp_path):
    unknown = run_script("scripts/get_data.py", "mnist", tmp_path)
    assert unknown.returncode == 2
    assert "choose from cifar10, cifar100, imagenet64, imagenette, imagewoof, tiny_imagenet" in unknown.stderr.replace(
        "'", ""
    )
    (tmp_path / "file").touch()
    no_folder = run_script("scripts/get_data.py", "cifar10", tmp_path / "file")
    assert no_folder.returncode == 2
    assert no_folder.stderr.startswith("get_data.py: error: the folder")


def jpeg(value: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (64, 64), (value,) * 3).save(buffer, "JPEG")
    return buffer.getvalue()


def test_tiny_imagenet_has_the_labels_of_its_folders_and_of_val_annotations(tmp_path):
    root = "tiny-imagenet-200"
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as file:
        for number, wnid in enumerate(("n02", "n01")):
            for n in range(2):
                file.writestr(f"{root}/train/{wnid}/images/{wnid}_{n}.JPEG", jpeg(100 * number))
        file.writestr(f"{root}/val/images/val_0.JPEG", jpeg(100))
        file.writestr(f"{root}/val/val_annotations.txt", "val_0.JPEG\tn01\t0\t0\t62\t62\n")
        file.writestr(f"{root}/test/images/test_0.JPEG", jpeg(255))
    convert_tiny_imagenet(tmp_path / "archive.zip", tmp_path / "tiny_imagenet.npz")
    train, test = load_images(data_config("tiny_imagenet", root=str(tmp_path), num_classes=None))
    assert [(int(image.amax()), int(label)) for image, label in zip(train.images, train.labels, strict=True)] == [
        (100, 0),
        (100, 0),
        (0, 1),
        (0, 1),
    ]
    assert (test.images.amax().item(), test.labels.tolist()) == (100, [0])


def test_imagenet64_has_its_channels_last_and_labels_from_zero(tmp_path):
    def archive(name: str, **batches: int) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            for batch, value in batches.items():
                rows = np.repeat(np.array([[value, value + 1, value + 2]], np.uint8), 4096, axis=1).repeat(2, axis=0)
                buffer = BytesIO()
                np.savez(buffer, data=rows, labels=np.array([1, 2]), mean=np.zeros(3))
                file.writestr(f"{batch}.npz", buffer.getvalue())
        return tmp_path / name

    train = [archive("1.zip", train_data_batch_1=0, train_data_batch_2=10), archive("2.zip", train_data_batch_3=20)]
    convert_imagenet64(train, archive("val.zip", val_data=30), tmp_path / "imagenet64.npz")
    loaded, test = load_images(data_config("imagenet64", root=str(tmp_path), num_classes=None))
    assert loaded.labels.tolist() == [0, 1] * 3
    assert [image.flatten(1).unique(dim=1).flatten().tolist() for image in loaded.images[::2]] == [
        [0, 1, 2],
        [10, 11, 12],
        [20, 21, 22],
    ]
    assert test.images[0, :, 0, 0].tolist() == [30, 31, 32]
    assert {path.suffix for path in tmp_path.iterdir()} == {".zip", ".npz"}


def test_a_folder_appears_under_the_name_that_the_protocol_reads(tmp_path):
    (tmp_path / "imagewoof2-160" / "train" / "n01").mkdir(parents=True)
    (tmp_path / "imagewoof2-160" / "train" / "n01" / "a.JPEG").write_bytes(jpeg(0))
    with tarfile.open(tmp_path / "archive.tgz", "w:gz") as tar:
        tar.add(tmp_path / "imagewoof2-160", "imagewoof2-160")
    extract_folder(tmp_path / "archive.tgz", "imagewoof2-160", tmp_path / "imagewoof160")
    assert (tmp_path / "imagewoof160" / "train" / "n01" / "a.JPEG").exists()


def test_existing_data_set_is_not_downloaded_again(tmp_path):
    (tmp_path / "imagewoof160").mkdir()
    assert get_data.get_data("imagewoof", tmp_path) == tmp_path / "imagewoof160"


def test_without_internet_one_line_names_the_address(tmp_path, monkeypatch):
    monkeypatch.setattr(get_data, "TINY_IMAGENET", Archive("http://127.0.0.1:9/tiny.zip", "md5", "0" * 32))
    with pytest.raises(ModernetError, match=r"http://127\.0\.0\.1:9/tiny\.zip cannot be downloaded"):
        get_data.get_data("tiny_imagenet", tmp_path)
    assert not (tmp_path / "tiny_imagenet.npz").exists()


def write_cifar(path: Path, batch: object) -> Path:
    """An archive in the format of CIFAR-10, with this as each batch."""
    names = [name for name, _ in CIFAR10.train_list + CIFAR10.test_list]
    contents = dict.fromkeys(names, batch) | {"batches.meta": {"label_names": ["a", "b"]}}
    with tarfile.open(path, "w:gz") as tar:
        for name, values in contents.items():
            content = pickle.dumps(values, protocol=2)
            member = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return path


def test_batches_of_cifar_are_read_with_channels_last(tmp_path):
    pixels = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072)
    archive = write_cifar(tmp_path / "a.tar.gz", {"data": pixels, "labels": [0, 1]})
    convert_cifar(archive, CIFAR10, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        assert (file["x_train"].shape, file["x_test"].shape) == ((10, 32, 32, 3), (2, 32, 32, 3))
        assert (file["y_test"].tolist(), file["classes"].tolist()) == ([0, 1], ["a", "b"])
        assert (file["x_test"][1, 5, 7] == pixels[1].reshape(3, 32, 32)[:, 5, 7]).all()


def test_code_in_a_batch_of_cifar_is_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive = write_cifar(tmp_path / "a.tar.gz", MakesFolder())
    with pytest.raises(UserError, match=r"data_batch_1 is not a file of CIFAR \(posix\.mkdir "):
        convert_cifar(archive, CIFAR10, tmp_path / "a.npz")
    assert not (tmp_path / "made").exists()
