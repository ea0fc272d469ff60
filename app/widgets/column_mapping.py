"""Which column is what: a preview of both tables, and a choice per meaning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.widgets.text import plain
from app.widgets.uploads import Sources, as_file
from data_tools.importers.formats import CsvSource
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


def choose_columns(sources: Sources, shelf: Path, *, separator: str | None) -> dict[str, Any]:
    """Options of the importer `table`, as the visitor maps the columns; draws the head of both files.

    shelf  where uploads lie while their heads are read
    """
    assert sources.items is not None and sources.interactions is not None, "asked for only when complete"
    left, right = st.columns(2, gap="medium")
    with left:
        names = _draw_head(sources.items, shelf, what="item file", separator=separator, title="Catalogue")
        chosen: dict[str, Any] = {
            "item_id": _choose("Item id", names, "item_id"),
            "title": _choose("Title", names, "title"),
            "image": _choose("Picture's file name", names, "image", optional=True),
            "image_url": _choose("Picture's web address", names, "image_url", optional=True),
        }
        taken = {*chosen.values(), "item_id", "title", "image", "image_url"}
        chosen["text"] = tuple(st.multiselect("Further texts", [n for n in names if n not in taken], key="map text"))
    with right:
        names = _draw_head(sources.interactions, shelf, what="interaction file", separator=separator, title="Log")
        chosen["user_id"] = _choose("User id", names, "user_id")
        chosen["log_item_id"] = _choose("Item id", names, "item_id", key="log item")
        chosen["timestamp"] = _choose("Time", names, "timestamp")
        chosen["rating"] = _choose("Rating", names, "rating", optional=True)
    return chosen


def _draw_head(source: str | UploadedFile, shelf: Path, *, what: str, separator: str | None, title: str) -> list[str]:
    """Draw the first rows of a file; returns the names of its columns."""
    if isinstance(source, str):
        name, head = Path(source).name, _head(Path(source).expanduser(), what=what, separator=separator)
    else:
        name, head = source.name, _head_of_upload(source.file_id, what, separator, source, shelf)
    st.markdown(f"**{title}** · {plain(name)}")
    st.dataframe(head, hide_index=True, height=38 * PREVIEW + 38)
    return head.columns


@st.cache_resource(max_entries=16, show_spinner="Reading the upload …")
def _head_of_upload(
    file_id: str, what: str, separator: str | None, _upload: UploadedFile, _shelf: Path
) -> pl.DataFrame:
    """Once per upload: to be read it is copied as a whole."""
    with as_file(_upload, _shelf) as path:
        return _head(path, what=what, separator=separator)


def _head(path: Path, *, what: str, separator: str | None) -> pl.DataFrame:
    """The first rows, as text."""
    source = table_source(path, what=what, separator=separator)
    names = source.columns() or []
    if not names:
        raise RefusedError(f"{source.name} names no columns; the kind `table` needs a header line")
    head = collect(source, source.scan(names).head(PREVIEW)).drop(ROW, strict=False)
    return head.with_columns(pl.all().cast(pl.String, strict=False))


def _choose(label: str, names: Sequence[str], meaning: str, *, optional: bool = False, key: str = "") -> str | None:
    """A column for a meaning; at first the one whose name suggests it."""
    options = [UNSET, *names] if optional else list(names)
    guess = next((n for n in names if n.lower() in GUESSES[meaning]), None)
    index = options.index(guess) if guess else 0
    found = st.selectbox(label, options, index=index, key=f"map {key or meaning}")
    return None if found == UNSET else str(found)
