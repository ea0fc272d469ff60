"""Which picture belongs to which item: by the name in the catalogue, else by the item's id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import polars as pl

from data_tools.images import open_images


def name_pictures(items: pl.DataFrame, pictures: Mapping[str, bytes]) -> pl.DataFrame:
    """Fill the column `image` with names in `pictures`: what it says, its last part, or the item's id.

    The last part, or the id, counts only where it names one picture alone: of several, none is guessed at.
    """
    if not pictures:
        return items
    if "image" in items.columns:
        by_file = _unambiguous((PurePosixPath(name).name, name) for name in pictures)
        named = [n if n in pictures else by_file.get(PurePosixPath(n or "").name, n) for n in items["image"]]
    else:
        by_id = _unambiguous((PurePosixPath(name).stem, name) for name in pictures)
        named = [by_id.get(item_id) for item_id in items["item_id"]]
    return items.with_columns(image=pl.Series(named, dtype=pl.String))


def _unambiguous(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    listed = list(pairs)
    times = Counter(short for short, _ in listed)
    return {short: name for short, name in listed if times[short] == 1}


def with_pictures(items: pl.DataFrame, images: Path | None) -> tuple[pl.DataFrame, Mapping[str, bytes]]:
    """The items with their pictures named, and the pictures of the folder or zip `images`."""
    if images is None:
        return items, {}
    pictures = open_images(images)
    return name_pictures(items, pictures), pictures
