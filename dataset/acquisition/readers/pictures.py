"""Conversion of images to upright RGB pixels, and a limit on the size of frames.

Dimensions: H x W pixels.
"""

import io

import numpy as np
from PIL import Image, ImageOps

from dataset.acquisition.readers.files import explaining_damage
from dataset.acquisition.readers.source import SourceError
from dataset.video import to_rgb

MAX_PIXELS = 2**26
"""Maximum number of pixels in a frame; a file that claims more is refused before memory is allocated."""


def require_bearable_size(name: str, width: int, height: int) -> None:
    """Check that a frame of this size, in pixels, is not empty and has at most `MAX_PIXELS` pixels.

    Raises:
        SourceError: it is empty or too large.
    """
    if not 0 < width * height <= MAX_PIXELS:
        raise SourceError(f"{name}: frames of {width} x {height} pixels are empty or too large; scale them down")


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height of the result of `upright_pixels`, without decoding the image."""
    is_turned = image.format == "JPEG" and image.getexif().get(_ORIENTATION, 1) >= 5
    return image.size[::-1] if is_turned else image.size


def upright_pixels(image: Image.Image) -> np.ndarray:
    """Return an image as RGB uint8 (H, W, 3), with transparency on white and photographs rotated according to EXIF."""
    return np.asarray(to_rgb(ImageOps.exif_transpose(image) if image.format == "JPEG" else image))


def decoded_pixels(name: str, encoded: bytes) -> np.ndarray:
    """Return a JPEG or PNG picture, as it is stored in other files, as `upright_pixels`.

    Raises:
        SourceError: it is damaged, or too large.
    """
    with explaining_damage(name), Image.open(io.BytesIO(encoded), formats=["JPEG", "PNG"]) as image:
        require_bearable_size(name, *image.size)
        return upright_pixels(image)


_ORIENTATION = 0x0112
"""EXIF tag of the orientation; values from 5 on mean that width and height are exchanged."""
