"""Decoded files have the pixels of Pillow, whatever the format and mode; broken files are refused by name."""

import io

import numpy as np
import pytest
from image_files import FORMATS, encode_image
from PIL import EpsImagePlugin, Image

from modernet.data.decoding import decode_image
from modernet.errors import DamagedImage, UserError

LIMIT = 100_000_000  # pixels


def photo(height: int = 61, width: int = 83) -> Image.Image:
    """Smooth random colours, as in a photograph."""
    noise = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def pillow_pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def exif_of_a_rotated_camera() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    return exif


FILES = {
    "jpeg 4:2:0": lambda: encode(photo(), "jpeg", quality=80, subsampling=2),
    "jpeg 4:4:4": lambda: encode(photo(), "jpeg", quality=95, subsampling=0),
    "progressive jpeg": lambda: encode(photo(), "jpeg", progressive=True),
    "jpeg of one pixel": lambda: encode(photo(1, 1), "jpeg"),
    "grey jpeg": lambda: encode(photo().convert("L"), "jpeg"),
    "CMYK jpeg": lambda: encode(photo().convert("CMYK"), "jpeg"),
    "jpeg with EXIF": lambda: encode(photo(), "jpeg", exif=exif_of_a_rotated_camera()),
    "jpeg in RGB": lambda: encode(photo(), "jpeg", keep_rgb=True),
    "png": lambda: encode(photo(), "png"),
    "png with a palette": lambda: encode(photo().convert("P"), "png"),
    "transparent png": lambda: encode(photo().convert("RGBA"), "png"),
    "webp": lambda: encode(photo(), "webp"),
    "bmp": lambda: encode(photo(), "bmp"),
}


@pytest.mark.parametrize("name", FILES)
def test_decoded_pixels_are_those_of_pillow(name):
    content = FILES[name]()
    assert np.array_equal(decode_image(content, name, LIMIT).numpy(), pillow_pixels(content))


@pytest.mark.parametrize("mode", FORMATS)
def test_decode_image_converts_every_mode_to_rgb(mode):
    image = decode_image(encode_image(9, mode), mode, LIMIT)
    assert image.shape == (40, 48, 3)
    assert image.float().mean().item() == pytest.approx(90, abs=3)


@pytest.mark.parametrize("kept", [0, 2, 20, 300, 600])
@pytest.mark.parametrize("name", ["jpeg 4:2:0", "grey jpeg", "png", "webp"])
def test_truncated_files_are_refused_by_name(name, kept):
    content = FILES[name]()
    assert len(content) > 600
    with pytest.raises(UserError, match=r"cat/1\.jpg"):
        decode_image(content[:kept], "cat/1.jpg", LIMIT)


def test_text_file_is_refused_as_no_image():
    with pytest.raises(UserError, match=r"cat/1\.jpg is no image that Pillow can decode"):
        decode_image(b"<html>404 Not Found</html>", "cat/1.jpg", LIMIT)


def test_postscript_starts_no_program(tmp_path, monkeypatch):
    """Pillow decodes EPS by Ghostscript, whatever the suffix of the file is."""
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with pytest.raises(DamagedImage, match=r"a\.jpg is no image that Pillow can decode"):
        decode_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n", "a.jpg", LIMIT)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("dtype", "file_format"), [(np.uint16, "png"), (np.uint16, "tiff"), (np.int32, "tiff"), (np.float32, "tiff")]
)
def test_images_of_more_than_8_bits_are_refused(dtype, file_format):
    """Pillow would clip their values at 255, so nearly all of the image would be white."""
    content = encode(Image.fromarray(np.arange(1200).reshape(30, 40).astype(dtype)), file_format)
    with pytest.raises(DamagedImage, match=r"^scan\.file has more than 8 bits per value \(mode (I|F).*\); convert it"):
        decode_image(content, "scan.file", LIMIT)
