"""Image files as tensors: JPEG by libjpeg-turbo, everything else by Pillow."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.io import decode_jpeg

from modernet.errors import UserError

JPEG_START = b"\xff\xd8"


def decode_image(content: bytes, name: str) -> Tensor:
    """The RGB image in the content of a file, as uint8 (H, W, 3).

    Greyscale, CMYK, palette and transparent images are converted as Pillow does; the pixels are those of Pillow, too.
    The orientation in EXIF is ignored. Raises UserError with `name` for content that is no complete image.
    """
    image = _decode_jpeg(content)
    return _decode_by_pillow(content, name) if image is None else image


def _decode_jpeg(content: bytes) -> Tensor | None:
    """None for everything but complete colour and greyscale JPEG."""
    if not content.startswith(JPEG_START):
        return None
    try:
        image = decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    except RuntimeError:
        return None  # Pillow decodes it, or says in words what is wrong
    assert isinstance(image, Tensor)  # a list for a list
    pixels = image.permute(1, 2, 0)  # (C, H, W) -> (H, W, C), the order in memory
    match pixels.shape[-1]:
        case 1:
            return pixels.repeat(1, 1, 3)
        case 3:
            return pixels
        case _:
            return None


def _decode_by_pillow(content: bytes, name: str) -> Tensor:
    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.array(image.convert("RGB"))
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{name} is no image that Pillow can decode") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{name} cannot be decoded: {error}") from error
    return torch.from_numpy(pixels)
