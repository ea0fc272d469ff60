"""Pictures made small enough to stand within a page: no file of the machine is served; and pictures that are brought.

What a visitor or a client brings is looked at with suspicion, and answered with a sentence where it cannot be taken.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from iisan_core.data.pictures import UNREADABLE, upright
from iisan_core.errors import RefusedError

MOST_PIXELS = 50_000_000
"""Larger pictures are not opened: unpacked, they would fill the memory."""
MOST_BYTES = 5 * 2**20
"""Of a picture that is brought from outside."""
MOST_BROUGHT_PIXELS = 16_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


def thumbnail(path: Path, *, side: int) -> str | None:
    """A picture, at most `side` pixels wide and high, as a `data:` address; None where it cannot be read."""
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return None
            picture.draft("RGB", (side, side))  # JPEG: decode no more than needed
            return as_address(picture, side=side)
    except UNREADABLE:
        return None


def as_address(picture: Image.Image, *, side: int) -> str:
    """A picture that is open already, likewise; what is transparent stays so."""
    turned = upright(picture)
    small = turned.convert("RGBA" if turned.has_transparency_data else "RGB")
    small.thumbnail((side, side))
    packed = io.BytesIO()
    small.save(packed, "WEBP", quality=80, method=2)
    return "data:image/webp;base64," + base64.b64encode(packed.getvalue()).decode()


def brought(source: Path | BinaryIO, *, size: int) -> Image.Image:
    """A picture from outside of `size` bytes, decoded; raises `RefusedError` if it is too large, or none."""
    if size > MOST_BYTES:
        raise RefusedError(
            f"the picture has {size / 2**20:.1f} MB; {MOST_BYTES // 2**20} MB are the most, save it smaller"
        )
    try:
        with Image.open(source, formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_BROUGHT_PIXELS:
                raise RefusedError(
                    f"the picture has {picture.width:,} × {picture.height:,} pixels; {MOST_BROUGHT_PIXELS // 10**6} "
                    "million are the most, make it smaller"
                )
            return upright(picture)
    except UNREADABLE:
        raise RefusedError(
            f"the file cannot be read as a picture; {', '.join(FORMATS[:-1])} and {FORMATS[-1]} can"
        ) from None
