"""Image files as tensors: JPEG by libjpeg-turbo, everything else by Pillow."""

import io

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor

from modernet.errors import DamagedImage
from modernet.runtime.text import describe

Image.MAX_IMAGE_PIXELS = None  # data.max_pixels is the limit, with its own message
# Those of the suffixes of image folders, and GIF. Pillow reads others, and starts Ghostscript for EPS.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
JPEG_START = b"\xff\xd8"
WIDE_MODES = ("I", "F")  # integers of 16 and 32 bits, and floats, which Pillow would clip at 255
COLORSPACES = ("YCbCr", "RGB", "Gray")  # Pillow rounds CMYK in another way


def decode_image(content: bytes, name: str, max_pixels: int) -> Tensor:
    """The RGB image in the content of a file, as uint8 (H, W, 3).

    Greyscale, CMYK, palette and transparent images are converted as Pillow does; the pixels are those of Pillow, too.
    The orientation in EXIF is ignored. Raises DamagedImage with `name` for content that is no complete image, for one
    of more than `max_pixels`, which is not decoded, and for one of more than 8 bits per value.
    """
    image = _decode_jpeg(content, name, max_pixels)
    return _decode_by_pillow(content, name, max_pixels) if image is None else image


def _check_pixels(height: int, width: int, name: str, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise DamagedImage(
            f"{name} has {width:,} x {height:,} = {width * height:,} pixels, more than data.max_pixels={max_pixels}"
        )


def _decode_jpeg(content: bytes, name: str, max_pixels: int) -> Tensor | None:
    """None for everything but colour and greyscale JPEG without an error."""
    if not content.startswith(JPEG_START):
        return None
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(content)
        _check_pixels(int(height), int(width), name, max_pixels)
        return torch.from_numpy(simplejpeg.decode_jpeg(content)) if colorspace in COLORSPACES else None
    except ValueError:
        return None  # Pillow tolerates small errors, and says in words what is wrong with the others


def _decode_by_pillow(content: bytes, name: str, max_pixels: int) -> Tensor:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_pixels(image.height, image.width, name, max_pixels)
            if image.mode.startswith(WIDE_MODES):
                raise DamagedImage(f"{name} has more than 8 bits per value (mode {image.mode}); convert it to 8 bits")
            pixels = np.array(image.convert("RGB"))
    except (DamagedImage, MemoryError):
        raise
    except Image.UnidentifiedImageError as error:
        raise DamagedImage(f"{name} is no image that Pillow can decode") from error
    except Exception as error:  # the decoders of the formats raise almost any exception for a damaged file
        raise DamagedImage(f"{name} cannot be decoded: {describe(error)}") from error
    return torch.from_numpy(pixels)
