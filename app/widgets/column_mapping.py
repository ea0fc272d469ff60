"""Which column is what: a preview of both tables, and a choice per meaning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from app.widgets.text import plain
from data_tools.importers.csv_files import CsvSource
from data_tools.importers.sources import ROW, Source, TableSource, collect
from iisan_core.errors import RefusedError

PREVIEW = 5
UNSET = "–"
GUESSES = {
    "item_id": ("item_id", "itemid", "item", "asin", "parent_asin", "movieid", "id"),
    "title": ("title", "name", "titles"),
    "image": ("image", "picture", "img", "poster"),
    "image_url": ("image_url", "imageurl", "url"),
    "user_id": ("user_id", "userid", "user", "reviewerid"),
    "timestamp": ("timestamp", "time", "date", "unixreviewtime"),
    "rating": ("rating", "overall", "stars"),
}
"""Meaning → column names that suggest it, lower case."""


def table_source(path: Path, *, what: str, separator: str | None) -> Source:
    """A CSV or Parquet file as the importer `table` reads it."""
    if path.suffix.lower() in (".parquet", ".pq"):
        return TableSource.parquet(path, what=what)
    tabs = ".tsv" in [suffix.lower() for suffix in path.suffixes]
    return CsvSource(path, what, separator=separator or ("\t" if tabs else ","))


def choose_columns(items: Path, log: Path, *, separator: str | None) -> dict[str, Any]:
    """Options of the importer `table`, as the visitor maps the columns; draws the head of both files."""
    left, right = st.columns(2, gap="medium")
    with left:
        names = _draw_head(table_source(items, what="item file", separator=separator), "Catalogue")
        chosen: dict[str, Any] = {
            "item_id": _choose("Item id", names, "item_id"),
            "title": _choose("Title", names, "title"),
            "image": _choose("Picture's file name", names, "image", optional=True),
            "image_url": _choose("Picture's web address", names, "image_url", optional=True),
        }
        taken = {*chosen.values(), "item_id", "title", "image", "image_url"}
        chosen["text"] = tuple(st.multiselect("Further texts", [n for n in names if n not in taken], key="map text"))
    with right:
        names = _draw_head(table_source(log, what="interaction file", separator=separator), "Log")
        chosen["user_id"] = _choose("User id", names, "user_id")
        chosen["log_item_id"] = _choose("Item id", names, "item_id", key="log item")
        chosen["timestamp"] = _choose("Time", names, "timestamp")
        chosen["rating"] = _choose("Rating", names, "rating", optional=True)
    return chosen


def _draw_head(source: Source, title: str) -> list[str]:
    names = source.columns() or []
    if not names:
        raise RefusedError(f"{source.name} names no columns; the kind `table` needs a header line")
    head = collect(source, source.scan(names).head(PREVIEW)).drop(ROW, strict=False)
    st.markdown(f"**{title}** · {plain(Path(source.name).name)}")
    st.dataframe(head.with_columns(pl.all().cast(pl.String, strict=False)), hide_index=True, height=38 * PREVIEW + 38)
    return names


def _choose(label: str, names: Sequence[str], meaning: str, *, optional: bool = False, key: str = "") -> str | None:
    """A column for a meaning; at first the one whose name suggests it."""
    options = [UNSET, *names] if optional else list(names)
    guess = next((n for n in names if n.lower() in GUESSES[meaning]), None)
    index = options.index(guess) if guess else 0
    found = st.selectbox(label, options, index=index, key=f"map {key or meaning}")
    return None if found == UNSET else str(found)
