"""The format of the Amazon subsets released with IISAN: `items.tsv` and `users.tsv`.

items.tsv   item id <TAB> title, no header; or a header `item_id title …` with further text columns and
            `image` (path of the picture)
users.tsv   user id <TAB> item ids separated by spaces, oldest first; the position becomes the timestamp
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from data_tools.images import FolderImages, open_images
from data_tools.importers.lines import read_lines, refuse_empty, split_fields
from data_tools.importers.options import ImportOptions, checked_options
from data_tools.importers.pictures import name_pictures
from data_tools.writing import SOURCE_LINE, default_name, write_dataset
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError

TAKES: tuple[str, ...] = ()
"""Options of this kind."""


def import_iisan_tsv(
    *,
    items: Path,
    interactions: Path,
    out: Path,
    images: Path | None = None,
    name: str | None = None,
    options: ImportOptions | None = None,
) -> Dataset:
    """Import `items.tsv` and `users.tsv` into the dataset folder `out`.

    Args:
        items: the catalogue, one item a line.
        interactions: the sequences, one user a line.
        out: dataset folder to write; must not exist or be empty.
        images: folder or zip of pictures: those that the column `image` names, else `<item_id>.jpg` or
            `.png`. By default the column `image`, if there, is relative to the folder of `items`.
        name: name of the dataset; by default that of the folder of `items`.
        options: none are taken here.

    Raises:
        RefusedError: naming file, line and remedy, on anything that is not in the format above.
    """
    checked_options(options, takes=TAKES, kind="iisan-tsv")
    catalogue = read_items(items)
    log, empty = read_sequences(interactions)
    pictures: Mapping[str, bytes] = {}
    if images is not None:
        pictures = open_images(images)
    elif "image" in catalogue.columns:
        pictures = FolderImages(items.parent)
    return write_dataset(
        out,
        name=name or default_name(items.parent),
        source=f"iisan-tsv: {items.name}, {interactions.name}",
        items=name_pictures(catalogue, pictures if images is not None else {}),
        interactions=log,
        images=pictures,
        dropped={"users_without_interactions": empty},
        items_from=str(items),
    )


def read_items(path: Path) -> pl.DataFrame:
    """The catalogue as strings: `item_id`, `title`, further columns of the header, and the source line."""
    lines = read_lines(path, what="item file")
    first: list[str] = lines["text"][0].split("\t")
    columns = ["item_id", "title"]
    if not {"item_id", "title"}.isdisjoint(first):
        columns = _checked_header(first, path)
        lines = lines.slice(1)
    remedy = "separate the fields by single tabs, with no tab inside an id or a text"
    table = split_fields(lines, columns, path=path, remedy=remedy)
    refuse_empty(table, "item_id", path=path)
    return table.rename({"line": SOURCE_LINE})


def read_sequences(path: Path) -> tuple[pl.DataFrame, int]:
    """The log as `user_id`, `item_id`, `timestamp` (position, from 0), and the number of users without items."""
    lines = read_lines(path, what="interaction file")
    remedy = "write the user id, one tab, then the item ids separated by spaces (no id may hold a tab)"
    users = split_fields(lines, ["user_id", "item_ids"], path=path, remedy=remedy)
    refuse_empty(users, "user_id", path=path)
    _refuse_duplicate_users(users, path)
    events = users.select("user_id", item_id=pl.col("item_ids").str.split(" ")).explode("item_id")
    events = events.filter(pl.col("item_id") != "")
    position = pl.int_range(pl.len(), dtype=pl.Int64).over("user_id")
    return events.with_columns(timestamp=position), users.height - events["user_id"].n_unique()


def _checked_header(header: list[str], path: Path) -> list[str]:
    absent = [c for c in ("item_id", "title") if c not in header]
    if absent:
        raise RefusedError(
            f"{path}, line 1: the header {header} lacks {absent}; name the columns `item_id` and `title`"
        )
    unusable = sorted({c for c in header if not c.strip() or header.count(c) > 1 or c in ("line", SOURCE_LINE)})
    if unusable:
        raise RefusedError(
            f"{path}, line 1: the column names {unusable} are empty, used twice or reserved; rename them"
        )
    return header


def _refuse_duplicate_users(users: pl.DataFrame, path: Path) -> None:
    twice = users.filter(pl.col("user_id").is_duplicated())
    if twice.is_empty():
        return
    user = twice["user_id"][0]
    first, second = twice.filter(pl.col("user_id") == user)["line"].head(2).to_list()
    raise RefusedError(
        f"{path}, lines {first} and {second}: user {user!r} has two lines; join them into one, oldest item first"
    )
