"""The one way in which a picture file becomes pixels, for import, extraction, new items and whatever shows pictures.

Upright as its EXIF data say, its first frame, 8 bits a channel, RGB, on white where it is transparent.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow's decoders raise on broken pictures."""

MAX_PIXELS = 64 * 10**6
"""A picture with more pixels than this is taken for a decompression bomb."""

MAX_RATIO = 100
"""A picture so many times longer than wide shows nothing; brought to a model's height it would fill the memory."""

DEEP = ("I", "F")
"""What Pillow's modes of more than 8 bits of grey begin with: `I;16`, `I`, `F`."""

EXIF_PLACES = ("exif", "xmp", "XML:com.adobe.xmp")
"""Where a picture's head may say how it is to be turned."""


def read_picture(source: Path | BinaryIO) -> Image.Image:
    """Decode a picture to RGB; raises one of `UNREADABLE` if it is none, cut short, too large or too narrow."""
    with Image.open(source) as picture:
        check_size(picture)
        return as_rgb(picture)


def check_size(picture: Image.Image) -> None:
    """Raise `ValueError` for a picture of too many pixels, or a mere line."""
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width}×{height} pixels, at most {MAX_PIXELS} are read")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise ValueError(f"{width}×{height} pixels: one side may be at most {MAX_RATIO} times the other")


def as_rgb(picture: Image.Image) -> Image.Image:
    """A picture that is open already as RGB; raises `ValueError` for a colour space that Pillow cannot convert."""
    turned = upright(picture)
    if turned.has_transparency_data:
        layered = turned.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return turned.convert("RGB")


def upright(picture: Image.Image) -> Image.Image:
    """A picture turned as its EXIF data say, and with 8 bits a channel; what is transparent stays so."""
    turned = ImageOps.exif_transpose(picture)
    return _of_eight_bits(turned) if turned.mode.startswith(DEEP) else turned


def _of_eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits as grey of 8; Pillow's own conversion would cut all that is brighter than 255."""
    grey = np.nan_to_num(np.asarray(picture, dtype=np.float64)).clip(min=0)
    brightest = grey.max(initial=0.0)
    if picture.mode.startswith("I;16"):
        whole = 65535.0
    else:  # files of 32 bits do not say what white is: the least of the usual scales that holds all of it
        scales = (1.0, 255.0, 65535.0) if picture.mode == "F" else (255.0, 65535.0)
        whole = next((scale for scale in scales if brightest <= scale), brightest)
    return Image.fromarray((grey * 255 / whole).round().astype(np.uint8))


def was_misread(path: Path) -> bool:
    """Whether earlier releases took other pixels from a picture file: it lies on its side, or is of deep grey.

    Reads the file's head only; False for whatever is no picture.
    """
    try:
        with Image.open(path) as picture:
            # Where the head names none, a PNG would be decoded in search of them.
            tagged = any(place in picture.info for place in EXIF_PLACES)
            turned = tagged and picture.getexif().get(ExifTags.Base.Orientation) in range(2, 9)
            return turned or picture.mode.startswith(DEEP)
    except UNREADABLE:
        return False
