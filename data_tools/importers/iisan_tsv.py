"""The format of the Amazon subsets released with IISAN: `items.tsv` and `users.tsv`.

items.tsv   item id <TAB> title, no header; or a header `item_id title …` with further text columns and
            `image` (path of the picture)
users.tsv   user id <TAB> item ids separated by spaces, oldest first; the position becomes the timestamp
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from data_tools.images import FolderImages
from data_tools.importers.records import Records
from data_tools.importers.request import ImportRequest
from data_tools.reading.lines import read_lines, refuse_empty, split_fields
from data_tools.writing import SOURCE_LINE
from iisan_core.errors import RefusedError


def read(request: ImportRequest) -> Records:
    """`items.tsv` and `users.tsv`; the column `image`, if there, is relative to the folder of `items`."""
    encoding = request.options.encoding
    catalogue = read_items(request.items, encoding=encoding)
    log, empty = read_sequences(request.interactions, encoding=encoding)
    pictures = FolderImages(request.items.parent) if "image" in catalogue.columns else {}
    return Records(catalogue, log, {"users_without_interactions": empty}, images=pictures)


def read_items(path: Path, *, encoding: str | None = None) -> pl.DataFrame:
    """The catalogue as strings: `item_id`, `title`, further columns of the header, and the source line."""
    lines = read_lines(path, what="item file", encoding=encoding)
    first: list[str] = lines["text"][0].split("\t")
    columns = ["item_id", "title"]
    if not {"item_id", "title"}.isdisjoint(first):
        columns = _checked_header(first, path)
        lines = lines.slice(1)
    remedy = "separate the fields by single tabs, with no tab inside an id or a text"
    table = split_fields(lines, columns, path=path, remedy=remedy)
    refuse_empty(table, "item_id", path=path)
    return table.rename({"line": SOURCE_LINE})


def read_sequences(path: Path, *, encoding: str | None = None) -> tuple[pl.DataFrame, int]:
    """The log as `user_id`, `item_id`, `timestamp` (position, from 0), and the number of users without items."""
    lines = read_lines(path, what="interaction file", encoding=encoding)
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
