"""Pictures of items, small enough to send many of them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import streamlit as st
from PIL import Image, UnidentifiedImageError

SIDE = 224
"""Pixels of a thumbnail's longest side: sharp on cards of up to that size."""
MAX_PIXELS = 50_000_000
"""Larger pictures are not opened: unpacked, they would fill the memory."""


def thumbnail(folder: Path, image: str | None, *, side: int = SIDE) -> str | None:
    """A picture of a dataset as a `data:` address; None where there is none, or none that can be read."""
    if not image:
        return None
    path = folder / image
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return None
    return _encoded(str(path), changed, side)


@st.cache_data(max_entries=3000, show_spinner=False)
def _encoded(path: str, changed: int, side: int) -> str | None:
    """`changed` is part of the key: a picture that is replaced is read again."""
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                return None
            picture.draft("RGB", (side, side))  # JPEG: decode no more than needed
            small = picture.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    small.thumbnail((side, side))
    packed = io.BytesIO()
    small.save(packed, "WEBP", quality=80, method=2)
    return "data:image/webp;base64," + base64.b64encode(packed.getvalue()).decode()
