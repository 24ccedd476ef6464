"""Still pictures, and what is common to all frames: RGB pixels of a bearable size.

H x W pixels.
"""

import numpy as np
from PIL import Image, ImageOps

from dataset.acquisition.readers.source import SourceError
from dataset.video import to_rgb

MAX_PIXELS = 2**26
"""In a frame. A file that claims more is refused before memory is taken."""


def require_bearable_size(name: str, width: int, height: int) -> None:
    """`SourceError` if a frame of this size, in pixels, has no pixels or more than `MAX_PIXELS`."""
    if not 0 < width * height <= MAX_PIXELS:
        raise SourceError(f"{name}: frames of {width} x {height} pixels are empty or too large; scale them down")


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of a picture as `upright_pixels` gives it, without decoding it."""
    is_turned = image.format == "JPEG" and image.getexif().get(_ORIENTATION, 1) >= 5
    return image.size[::-1] if is_turned else image.size


def upright_pixels(image: Image.Image) -> np.ndarray:
    """Return a picture as uint8 (H, W, 3) in RGB: transparency on white, photographs turned as EXIF says."""
    return np.asarray(to_rgb(ImageOps.exif_transpose(image) if image.format == "JPEG" else image))


_ORIENTATION = 0x0112
"""The EXIF tag; from 5 on its value means that width and height are exchanged."""
