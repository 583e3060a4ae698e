"""Damaged images of a data set in files: named by path, or skipped and counted; never a silent result."""

import io
import json
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from trials.processes import STATEFUL, Result, remove, run
from trials.trial import Trial

CLASSES, IMAGES = ("cat", "dog"), 6  # per class and split
SPLITS = ("train", "val")
TRAIN = (
    *("+step=gelu", "model.width=8", "data.image_size=32", "recipe.epochs=1", "recipe.warmup_epochs=0"),
    *("recipe.batch_size=6", "num_workers=0", "wandb=disabled", f"data.num_classes={len(CLASSES)}"),
)
KINDS = {"folder": (), "shards": (f"data.train_images={len(CLASSES) * IMAGES}",)}


def encode_image(number: int, file_format: str = "jpeg") -> bytes:
    """An intact image of random pixels."""
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (40, 48, 3), np.uint8)
    Image.fromarray(pixels).save(file, file_format)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG file that claims this size and holds no pixels."""
    content = bytearray(encode_image(0, "png"))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content[:100])


DAMAGE = {
    "truncated JPEG": encode_image(1)[:-40],
    "header of a JPEG": encode_image(1)[:200],
    "broken PNG": encode_image(1, "png")[:60] + b"\xff" * 40,
    "header of a PNG": png_header(40, 48),
    "400 megapixels": png_header(20_000, 20_000),
    "text": b"<html>404 Not Found</html>",
    "empty file": b"",
}


def write_images(folder: Path, kind: str, split: str = "", content: bytes = b"") -> str:
    """A data set of this kind, of whose `split` the third image is `content`; returns how a message names that one."""
    named = ""
    for name in SPLITS:
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(folder / f"{name}-000.tar", "w") as shard:
            for number in range(len(CLASSES) * IMAGES):
                label = number // IMAGES
                is_damaged = (name, number) == (split, 2)
                image = content if is_damaged else encode_image(number)
                path = folder / name / CLASSES[label] / f"{number:02}.jpg"
                for member, value in ((f"{number:02}.jpg", image), (f"{number:02}.cls", str(label).encode())):
                    entry = tarfile.TarInfo(member)
                    entry.size = len(value)
                    shard.addfile(entry, io.BytesIO(value))
                if kind == "folder":
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(image)
                if is_damaged:
                    named = str(path) if kind == "folder" else f"{shard.name}: {number:02}.jpg"
    return named


def write_everything(folder: Path) -> tuple[str, ...]:
    """Words of a run with everything on that reads image files, one of them damaged, with two worker processes."""
    write_images(folder, "folder", "train", DAMAGE["truncated JPEG"])
    return (
        *STATEFUL,
        *("data=folder", f"data.root={folder}", "data.image_size=32", "data.on_error=skip", "num_workers=2"),
        *("recipe.batch_size=4", "recipe.micro_batch_size=2"),
    )


def trials(short: bool, seed: int) -> Iterator[Trial]:
    """Each kind of damage in each split of a folder and of shards, with both values of data.on_error."""
    damages = list(DAMAGE)[:2] if short else list(DAMAGE)
    with tempfile.TemporaryDirectory(prefix="modernet-") as name:
        for kind in KINDS:
            for split in SPLITS:
                for damage in damages:
                    folder = Path(name) / f"{kind}-{split}-{damage}"
                    named = write_images(folder / "data", kind, split, DAMAGE[damage])
                    yield _named(folder, kind, named)
                    yield _skipped(folder, kind, split)
                    remove(folder)


def _train(folder: Path, kind: str, *words: str) -> Result:
    values = (f"data={kind}", f"data.root={folder / 'data'}", f"runs={folder / 'runs'}")
    return run(folder / "out", "train", *TRAIN, *KINDS[kind], *values, *words)


def _named(folder: Path, kind: str, named: str) -> Trial:
    result = _train(folder, kind)
    held = result.is_one_line(2, named, "data.on_error=skip") and not list(folder.rglob("record.json"))
    return Trial("a damaged image: one line with its path, status 2, no record", held, f"{folder.name}: {result}")


def _skipped(folder: Path, kind: str, split: str) -> Trial:
    result = _train(folder, kind, "data.on_error=skip")
    counts = {"train": int(split == "train"), "eval": int(split == "val")}
    found = [
        {name: json.loads(path.read_text())["metrics"].get(f"skipped_{name}", 0) for name in counts}
        for path in folder.glob("runs/*/*/record.json")
    ]
    held = result.status == 0 and found == [counts]
    what = "data.on_error=skip: the image is counted in the record"
    return Trial(what, held, f"{folder.name}: counted {found}, {result}")
