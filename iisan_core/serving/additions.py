"""New items as a small dataset of their own: checked, their pictures in place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from PIL import Image

from iisan_core.dataset import ITEM_COLUMNS, Dataset
from iisan_core.errors import RefusedError

Picture = str | os.PathLike[str] | Image.Image
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")


@contextmanager
def as_dataset(items: pl.DataFrame, images: Mapping[str, Picture], catalogue: Dataset) -> Iterator[Dataset]:
    """New rows of the catalogue; pictures that are no files yet are files within the block.

    items   `item_id` and further columns of the catalogue
    images  item id → file or PIL image; where an id is missing, the column `image` names a file, if there is one

    Raises `RefusedError` for a table that does not fit the catalogue, or a picture of an item that is not in it.
    """
    _check(items, images, catalogue)
    with TemporaryDirectory(prefix="iisan-items-") as folder:
        paths = {item_id: _path(picture, Path(folder) / str(n)) for n, (item_id, picture) in enumerate(images.items())}
        named = items["image"].to_list() if "image" in items.columns else [None] * len(items)
        image = [paths.get(item_id, name) for item_id, name in zip(items["item_id"], named, strict=True)]
        rows = pl.concat([catalogue.items.clear(), items], how="diagonal_relaxed")
        rows = rows.with_columns(image=pl.Series(image, dtype=pl.String))
        yield Dataset(catalogue.folder, catalogue.card, rows, catalogue.interactions.clear())


def enlarged(catalogue: Dataset, rows: pl.DataFrame) -> Dataset:
    """The catalogue with new rows at its end; they take the place of rows with the same ids."""
    kept = catalogue.items.join(rows, on="item_id", how="anti", maintain_order="left")
    items = pl.concat([kept, rows], how="diagonal_relaxed")
    return Dataset(catalogue.folder, catalogue.card, items, catalogue.interactions)


def _check(items: pl.DataFrame, images: Mapping[str, Picture], catalogue: Dataset) -> None:
    if "item_id" not in items.columns or items.is_empty():
        raise RefusedError(
            f"new items come as a table with at least one row and a column item_id; this one has {len(items)} rows and "
            f"the columns {', '.join(items.columns) or 'none'}"
        )
    wanted = ITEM_COLUMNS | dict(catalogue.items.schema)
    faults = [
        f"{c} should be {wanted[c]}, is {t}" for c, t in items.schema.items() if t not in (wanted.get(c, t), pl.Null)
    ]
    if faults:
        raise RefusedError(f"the new items do not fit the catalogue: {'; '.join(faults)}; cast these columns")
    twice = items.filter(pl.col("item_id").is_duplicated() | pl.col("item_id").is_null())["item_id"]
    if not twice.is_empty():
        raise RefusedError(f"item id {twice[0]!r} stands in more than one row, or is null; ids must be unique")
    strangers = images.keys() - set(items["item_id"])
    if strangers:
        raise RefusedError(f"there is a picture of {min(strangers)!r}, but no such item among the new ones")


def _path(picture: Picture, place: Path) -> str:
    """The absolute path of a picture's file; an image in memory is written to `place`, without loss."""
    if not isinstance(picture, Image.Image):
        return str(Path(picture).absolute())
    plain = picture if picture.mode in PNG_MODES else picture.convert("RGB")
    plain.save(place, format="PNG")
    return str(place)
