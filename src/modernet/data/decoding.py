"""Image files as tensors: JPEG by libjpeg-turbo, everything else by Pillow."""

import io

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor

from modernet.errors import UserError

JPEG_START = b"\xff\xd8"
COLORSPACES = ("YCbCr", "RGB", "Gray")  # Pillow rounds CMYK in another way


def decode_image(content: bytes, name: str) -> Tensor:
    """The RGB image in the content of a file, as uint8 (H, W, 3).

    Greyscale, CMYK, palette and transparent images are converted as Pillow does; the pixels are those of Pillow, too.
    The orientation in EXIF is ignored. Raises UserError with `name` for content that is no complete image.
    """
    image = _decode_jpeg(content)
    return _decode_by_pillow(content, name) if image is None else image


def _decode_jpeg(content: bytes) -> Tensor | None:
    """None for everything but colour and greyscale JPEG without an error."""
    if not content.startswith(JPEG_START):
        return None
    try:
        _, _, colorspace, _ = simplejpeg.decode_jpeg_header(content)
        return torch.from_numpy(simplejpeg.decode_jpeg(content)) if colorspace in COLORSPACES else None
    except ValueError:
        return None  # Pillow tolerates small errors, and says in words what is wrong with the others


def _decode_by_pillow(content: bytes, name: str) -> Tensor:
    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.array(image.convert("RGB"))
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{name} is no image that Pillow can decode") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{name} cannot be decoded: {error}") from error
    return torch.from_numpy(pixels)
