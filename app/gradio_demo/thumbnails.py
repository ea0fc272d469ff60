"""Small pictures inside the page itself: no file of the machine is served."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from pathlib import Path

from PIL import Image

SIDE = 256
"""Pixels; larger pictures are made smaller."""
MOST_PIXELS = 50_000_000
"""A picture that claims more is not decoded."""
KEPT = 4096


@lru_cache(maxsize=KEPT)
def thumbnail(path: Path) -> str | None:
    """A picture as a data address; None where it cannot be read."""
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return None
            return as_address(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def as_address(picture: Image.Image) -> str:
    """A picture, at most `SIDE` pixels wide and high, as a data address."""
    small = picture.convert("RGBA" if "A" in picture.getbands() or "transparency" in picture.info else "RGB")
    small.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    small.save(stream, format="WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
