"""Pictures made small enough to stand within a page, many of them: no file of the machine is served."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from iisan_core.data.pictures import UNREADABLE, upright

MOST_PIXELS = 50_000_000
"""Larger pictures are not opened: unpacked, they would fill the memory."""


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
