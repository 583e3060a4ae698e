"""Damaged images: named by path, or skipped and counted; other than regular files are refused when listed."""

import errno
import gzip
import io
import json
import os
import re
import socket
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import NO_AUGMENTATION, printed_record, run_command
from image_files import (
    encode_image,
    equal_batches,
    evaluated_numbers,
    files_config,
    files_loader,
    write_shard,
)
from PIL import Image
from trials.images import DAMAGE, png_header

from modernet.data.damaged import SkippedImages
from modernet.data.decoding import decode_image
from modernet.data.file_lists import list_images
from modernet.errors import DamagedImage, LocalMistake, UserError

SMALL = ("+step=gelu", "model.width=8", "data.image_size=32", "recipe.epochs=2", "recipe.warmup_epochs=0")


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_image_is_named_by_its_path(image_folder, damage, split, num_workers):
    path = image_folder / split / "cat/04.png"
    path.write_bytes(DAMAGE[damage])
    loader = files_loader(files_config("folder", image_folder), num_workers=num_workers)
    with pytest.raises(UserError) as error:
        list(loader.train_batches(0) if split == "train" else loader.eval_batches())
    assert str(error.value).startswith(f"{path} ")
    assert str(error.value).endswith("data.on_error=skip goes on without it, in training as another run")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_run_with_a_damaged_image_ends_with_one_line_and_status_2(train_in_process, image_folder, num_workers):
    (image_folder / "val/cat/04.png").write_bytes(DAMAGE["truncated JPEG"])
    words = ("data=folder", f"data.root={image_folder}", "recipe.batch_size=8", f"num_workers={num_workers}")
    result = train_in_process(*SMALL, *words)
    assert result.returncode == 2
    assert re.search(r"error: .*val/cat/04\.png cannot be decoded: .*; data\.on_error=skip goes on", result.stderr)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("checkpoint_minutes", [60, 0])
def test_repaired_image_trains_by_the_same_command_unless_the_run_has_a_checkpoint(
    train, train_in_process, image_folder, checkpoint_minutes
):
    """The size of a file is part of the run's identity: a checkpoint is of the damaged data set."""
    path = image_folder / "val/cat/04.png"
    intact = path.read_bytes()
    path.write_bytes(intact[:40])
    words = (*SMALL, "data=folder", f"data.root={image_folder}", "recipe.batch_size=8", "num_workers=0")
    words = (*words, f"checkpoint_minutes={checkpoint_minutes}")
    assert train_in_process(*words).returncode == 2
    path.write_bytes(intact)
    result = train(*words)  # another process, which lists the files again
    if checkpoint_minutes:
        assert result.returncode == 0, result.stderr
        return
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert f"the files below data.root={image_folder} changed since " in line
    assert "restore the files to resume that run, or delete the folder to train from the start" in line


def test_skipped_images_are_counted_in_the_record_and_are_wrong(train_in_process, image_folder):
    words = ("data=folder", f"data.root={image_folder}", "recipe.batch_size=24", "num_workers=0")
    plain = printed_record(train_in_process(*SMALL, *words))
    assert not {"skipped_train", "skipped_eval"} & set(plain["metrics"])
    for name in ("train/cat/02.jpg", "train/dog/03.png", "val/cat/04.png"):
        (image_folder / name).write_bytes(DAMAGE["text"])
    record = printed_record(train_in_process(*SMALL, *words, "data.on_error=skip"))
    assert (record["metrics"]["skipped_train"], record["metrics"]["skipped_eval"]) == (2, 1)
    hits = record["top1"] * 7 / 100
    assert hits == pytest.approx(round(hits))  # of seven images, not of six
    assert record["top5"] == pytest.approx(100 * 6 / 7)  # of two classes, but for the damaged image
    paths = (image_folder.parent / "runs").rglob("record.json")
    folder = next(path.parent for path in paths if json.loads(path.read_text())["config"]["data"]["on_error"] == "skip")
    assert "val/cat/04.png is no image" in (folder / "train.log").read_text()
    result = run_command("evaluate", folder)
    assert "6 images and 1 damaged ones, which count as wrong" in result.stdout
    assert f"top-1 {record['top1']:.2f} %, top-5 85.71 %" in result.stdout


def test_log_names_a_hundred_skipped_images_and_says_that_it_stops(monkeypatch):
    messages: list[str] = []
    monkeypatch.setattr("modernet.data.damaged.logger.warning", messages.append)
    skipped = SkippedImages()
    for _ in range(2):
        skipped.add([f"{number}\n\x1b.jpg cannot be decoded" for number in range(105)])
    assert skipped.take() == 210
    assert messages[0] == r"skipped: 0\n\x1b.jpg cannot be decoded"
    assert messages[99:] == [
        r"skipped: 99\n\x1b.jpg cannot be decoded",
        "further skipped images are only counted",
    ]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_replacement_is_a_function_of_seed_epoch_and_image(image_folder, num_workers):
    (image_folder / "train/cat/04.png").write_bytes(b"")
    data = files_config("folder", image_folder, on_error="skip")
    loader, again = (
        files_loader(data, **NO_AUGMENTATION),
        files_loader(data, num_workers=num_workers, **NO_AUGMENTATION),
    )
    batches = list(loader.train_batches(1))
    assert [len(labels) for _, labels in batches] == [8, 8, 8]
    assert equal_batches(batches, again.train_batches(1))
    assert equal_batches(batches[1:], again.train_batches(1, first_step=1))
    assert loader.skipped.take() == 1
    assert loader.skipped.take() == 0


def test_intact_images_are_the_same_with_on_error_skip(image_folder):
    plain, skipping = (
        files_loader(files_config("folder", image_folder, on_error=value)) for value in ("raise", "skip")
    )
    assert equal_batches(plain.train_batches(0), skipping.train_batches(0))
    assert equal_batches(plain.eval_batches(), skipping.eval_batches())


def test_label_of_a_replacement_is_that_of_its_image(tmp_path):
    """Every image of a class has its brightness."""
    for split in ("train", "val"):
        for name, value in (("dark", 0), ("bright", 255)):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(8):
                Image.fromarray(np.full((40, 40, 3), value, np.uint8)).save(folder / f"{number}.png")
    for number in range(4):
        (tmp_path / f"train/dark/{number}.png").write_bytes(b"")
    loader = files_loader(files_config("folder", tmp_path, on_error="skip"), **NO_AUGMENTATION)
    for images, labels in loader.train_batches(0):
        assert torch.equal(images.mean((1, 2, 3)) < 0, labels == 1)  # classes in order: bright, dark
    assert loader.skipped.take() == 4


def test_no_intact_image_ends_the_run_also_with_skip(image_folder):
    for path in image_folder.rglob("*.*"):
        path.write_bytes(b"")
    loader = files_loader(files_config("folder", image_folder, on_error="skip"))
    with pytest.raises(UserError, match="none of 100 images drawn to replace a damaged one is intact"):
        list(loader.train_batches(0))
    assert list(loader.eval_batches()) == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_damaged_images_in_shards_are_named_or_skipped(shards, num_workers, monkeypatch):
    intact = encode_image
    monkeypatch.setattr(
        "image_files.encode_image", lambda number: intact(number)[:-40] if number == 3 else intact(number)
    )
    write_shard(shards / "train-003.tar", dict.fromkeys((3, 9, 15, 21), 1))
    write_shard(shards / "val-000.tar", {0: 0, 3: 1, 6: 0})
    data = files_config("shards", shards)
    with pytest.raises(UserError, match=r"train-003\.tar: 0003\.jpg cannot be decoded: .*data\.on_error=skip"):
        list(files_loader(data, num_workers=num_workers).train_batches(0))
    with pytest.raises(UserError, match=r"val-000\.tar: 0003\.jpg cannot be decoded"):
        list(files_loader(data, num_workers=num_workers).eval_batches())
    data = files_config("shards", shards, on_error="skip")
    loader = files_loader(data, num_workers=num_workers)
    batches = list(loader.train_batches(0))
    assert [len(labels) for _, labels in batches] == [8, 8, 8]
    assert equal_batches(batches, files_loader(data).train_batches(0))
    assert loader.skipped.take() == 1
    assert evaluated_numbers([loader]) == [0, 1, 2, 4, 5, 6]
    assert loader.skipped.take() == 1


@pytest.mark.parametrize("label", [b"", b"cat", b"2", b"-1", b"1.0", b"9" * 5000])
def test_wrong_label_in_a_shard_is_named(shards, label):
    write_shard(shards / "train-003.tar", {3: label.decode(), 9: 1, 15: 1, 21: 1})
    with pytest.raises(UserError, match=r"train-003\.tar: 0003\.cls must hold an integer from 0 to 1 "):
        list(files_loader(files_config("shards", shards)).train_batches(0))


def test_missing_label_in_a_shard_is_named(shards):
    with tarfile.open(shards / "val-001.tar", "w") as tar:
        member = tarfile.TarInfo("0003.jpg")
        member.size = len(content := encode_image(3))
        tar.addfile(member, io.BytesIO(content))
    with pytest.raises(UserError, match=r"val-001\.tar: 0003 has no file \.cls with its label"):
        list(files_loader(files_config("shards", shards)).eval_batches())


def test_truncated_compressed_shard_is_named(shards):
    content = gzip.compress((shards / "train-003.tar").read_bytes())
    (shards / "train-003.tar").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"the shard .*train-003\.tar is not a readable tar file \(EOFError"):
        files_loader(files_config("shards", shards))


def test_truncated_shard_is_named(shards):
    content = (shards / "val-000.tar").read_bytes()
    (shards / "val-000.tar").write_bytes(content[: len(content) // 2 - 100])
    with pytest.raises(UserError, match=r"the shard .*val-000\.tar cannot be read to its end"):
        list(files_loader(files_config("shards", shards)).eval_batches())


@pytest.mark.parametrize("file_format", ["jpeg", "png"])
def test_image_of_too_many_pixels_is_refused_before_it_is_decoded(file_format, monkeypatch):
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, file_format)
    assert decode_image(file.getvalue(), "a.x", 600).shape == (20, 30, 3)
    monkeypatch.setattr("modernet.data.decoding.simplejpeg.decode_jpeg", None)
    monkeypatch.setattr("modernet.data.decoding.np.array", None)
    with pytest.raises(DamagedImage, match=r"^a\.x has 30 x 20 = 600 pixels, more than data\.max_pixels=599$"):
        decode_image(file.getvalue(), "a.x", 599)


def test_limit_on_pixels_is_that_of_the_config_and_not_of_pillow():
    with pytest.raises(DamagedImage, match=r"has 30,000 x 30,000 = 900,000,000 pixels"):
        decode_image(png_header(30_000, 30_000), "a.png", 100_000_000)
    with pytest.raises(DamagedImage, match="cannot be decoded"):
        decode_image(png_header(20_000, 10_000), "a.png", 1_000_000_000)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as unix:
        os.chdir(path.parent)  # the address of a socket is short
        unix.bind(path.name)


def make_device(path):
    path.symlink_to("/dev/zero")


def make_dangling_link(path):
    path.symlink_to("nowhere.jpg")


def make_link_loop(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a named pipe"),
        (make_socket, "a socket"),
        (make_device, "a device"),
        (make_dangling_link, "a link to nothing"),
        (make_link_loop, "a link to nothing"),
    ],
)
def test_only_regular_files_are_images(image_folder, make, kind, monkeypatch):
    monkeypatch.chdir(image_folder)
    make(image_folder / "val/cat/x.jpg")
    with pytest.raises(UserError, match=rf"val/cat/x\.jpg is no file but {kind}"):
        list_images(files_config("folder", image_folder))


def test_links_to_files_and_folders_are_followed(image_folder):
    (image_folder / "train/cat/link.jpg").symlink_to(image_folder / "val/cat/00.jpg")
    (image_folder / "train/cat/more").symlink_to(image_folder / "val/dog")
    (image_folder / "train/.hidden").symlink_to("/mnt/nowhere")
    train, _ = list_images(files_config("folder", image_folder))
    assert {"cat/link.jpg", "cat/more/01.jpg"} <= {file.name for file in train.files}


@pytest.mark.parametrize("name", ["train/ant", "val/ant", "train/cat/more", "test"])
def test_link_to_a_folder_that_is_not_there_is_refused(image_folder, name):
    """As where a disk is not mounted: its classes or images would be missing without a word."""
    (image_folder / name).symlink_to("/mnt/nowhere")
    with pytest.raises(UserError, match=rf"{name} is .*a link to nothing"):
        list_images(files_config("folder", image_folder))


def test_link_to_a_folder_above_is_refused(image_folder):
    (image_folder / "train/cat/loop").symlink_to("..")
    with pytest.raises(UserError, match=r"train/cat/loop.* is a link to a folder above it"):
        list_images(files_config("folder", image_folder))


def test_file_that_disappeared_is_named(image_folder):
    loader = files_loader(files_config("folder", image_folder))
    (image_folder / "val/cat/04.png").unlink()
    with pytest.raises(UserError, match=r"val/cat/04\.png cannot be read \(No such file"):
        list(loader.eval_batches())


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_fault_of_the_machine_is_no_damaged_image(image_folder, monkeypatch, num_workers, on_error):
    def read_bytes(path: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    loader = files_loader(files_config("folder", image_folder, on_error=on_error), num_workers=num_workers)
    with pytest.raises(LocalMistake, match=r"\.(jpg|png): Too many open files; allow more open files \(ulimit -n\)$"):
        list(loader.eval_batches())
