"""Import raw files into a dataset of the workspace: their kind, which column is what, a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.formats import plain
from app.names import new_place
from app.ui.layout import show_fault
from app.ui.uploads import Sources, as_file, as_files, choose_sources, refuse_other_content
from data_tools.importers import IMPORTERS, TAKES
from data_tools.importers.request import ImportOptions, ImportRequest
from data_tools.importers.table import open_source
from data_tools.reading.sources import ROW, collect
from iisan_core.errors import IisanError, RefusedError
from iisan_core.runs.workspace import Workspace

KINDS = {
    "table": "Any CSV, JSON lines or Parquet files: one of items, one of interactions; you say which column is what.",
    "iisan-tsv": "items.tsv (id, tab, title) and users.tsv (id, tab, item ids oldest first), as released with IISAN.",
    "movielens": "movies and ratings, `.dat` or `.csv`, as GroupLens gives them; posters by movie id.",
    "microlens": "A titles file and a pairs file of MicroLens; covers by item id.",
    "amazon-2014": "Metadata and reviews of 2014, JSON lines or Python's dictionaries, gzip or not.",
    "amazon-2018": "Metadata and reviews of 2018, JSON lines, gzip or not.",
    "amazon-2023": "Metadata and reviews of 2023, JSON lines, gzip or not.",
    "yelp": "business.json and review.json of the Yelp Open Dataset.",
    "goodreads": "Books and interactions of the UCSD Book Graph, JSON lines, gzip or not.",
    "h-and-m": "articles.csv and transactions_train.csv of H&M's competition; its folder of pictures.",
    "mmrec": "A table of items and an `.inter` file, as MMRec's authors give them.",
    "mind": "news.tsv and behaviors.tsv of MIND; histories, then clicks.",
    "recbole": "Atomic files, `.item` and `.inter`, with typed headers.",
    "huggingface": 'Datasets of the Hugging Face hub; needs `pip install "iisan-workbench[hub]"`.',
}
"""What each kind is, for people; kinds that are not described here are offered by their name."""
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
PREVIEW = 5
UNSET = "–"
DONE = "imported"


def import_form(workspace: Workspace) -> None:
    """Kind, files, what is what in them, a name – and the import."""
    kinds = [*(k for k in KINDS if k in IMPORTERS), *(k for k in IMPORTERS if k not in KINDS)]
    left, right = st.columns([2, 1])
    kind = str(left.selectbox("Kind", kinds, key="kind"))
    name = right.text_input("Name of the new dataset", key="new name", placeholder="my-shop")
    st.caption(KINDS.get(kind, ""))
    sources = choose_sources(kind)
    if not sources.complete:
        st.info("Name the catalogue and the log; pictures are optional.", icon=":material/upload_file:")
        return
    try:
        _draw_rest(workspace, kind, name, sources)
    except IisanError as error:
        show_fault(error)


def take_up_imported(on_done: Callable[[str], None]) -> None:
    """Call `on_done` with the name of a dataset that was just imported, once."""
    name = st.session_state.pop(DONE, None)
    if name:
        on_done(name)


def _draw_rest(workspace: Workspace, kind: str, name: str, sources: Sources) -> None:
    refuse_other_content(sources)
    options = _choose_options(workspace, kind, sources)
    if st.button("Import", type="primary", icon=":material/download:", key="import"):
        place = new_place(workspace.datasets, name, what="dataset")
        with st.spinner("Importing …", show_time=True):
            _import(workspace, kind, sources, place, options)
        st.session_state[DONE] = place.name
        st.rerun()


def _import(workspace: Workspace, kind: str, sources: Sources, place: Path, options: dict[str, Any]) -> None:
    given = ImportOptions(**{key: value for key, value in options.items() if value})
    if kind == "huggingface":
        items, log = Path(str(sources.items)), Path(str(sources.interactions))
        IMPORTERS[kind](ImportRequest(items=items, interactions=log, out=place, name=place.name, options=given))
        return
    with as_files(sources, workspace.datasets) as (items, log, images):
        request = ImportRequest(items=items, interactions=log, out=place, images=images, name=place.name, options=given)
        IMPORTERS[kind](request)


def _choose_options(workspace: Workspace, kind: str, sources: Sources) -> dict[str, Any]:
    """What the kind may be told, by the names of `ImportOptions`."""
    takes = TAKES[kind]
    options: dict[str, Any] = {}
    if kind == "table":
        separator = st.text_input("Separator, if neither comma nor tab", key="separator", width=320) or None
        options = {"separator": separator} | _choose_columns(sources, workspace.datasets, separator=separator)
    elif "item_id" in takes:
        options = _named_columns(takes)
    elif isinstance(sources.items, str):
        _draw_first_lines([sources.items, str(sources.interactions)])
    if "min_rating" in takes and (kind != "table" or options.get("rating")):
        lowest = st.number_input("Drop ratings below (0: keep all)", 0.0, 100.0, 0.0, 0.5, key="min rating", width=280)
        options["min_rating"] = lowest or None
    if kind in ("table", "huggingface") and not options.get("min_rating"):
        options.pop("rating", None)  # a rating column without a bound says nothing
    return options


def _named_columns(takes: tuple[str, ...]) -> dict[str, Any]:
    """Column names by hand, where no preview can be had."""
    labels = [
        name
        for name in takes
        if name not in ("min_rating", "text", "ids", "time_format", "conflicts", "skip_without_id")
    ]
    columns = st.columns(3)
    return {
        name: columns[n % 3].text_input(name.replace("_", " "), key=f"column {name}").strip() or None
        for n, name in enumerate(labels)
    }


def _draw_first_lines(paths: list[str]) -> None:
    """The head of both files as it stands there, where it is text."""
    for column, path in zip(st.columns(2), paths, strict=True):
        with column:
            st.markdown(f"**{plain(Path(path).name)}**")
            st.code(_first_lines(Path(path).expanduser()) or "cannot be shown: packed, or not there", language=None)


def _first_lines(path: Path, *, lines: int = 4, width: int = 160) -> str:
    try:
        with path.open("rb") as stream:
            head = stream.read(16_384)
    except OSError:
        return ""
    if head.startswith(b"\x1f\x8b") or b"\x00" in head:
        return ""
    return "\n".join(line[:width] for line in head.decode("utf-8", errors="replace").splitlines()[:lines])


def _choose_columns(sources: Sources, shelf: Path, *, separator: str | None) -> dict[str, Any]:
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
        taken = {*chosen.values(), *chosen}
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
    source = open_source(path, ImportOptions(separator=separator), what=what)
    names = source.columns() or []
    if not names:
        raise RefusedError(f"{source.name} names no columns; the kind `table` needs a header line")
    return _shown(collect(source, source.scan(names).head(PREVIEW)).drop(ROW, strict=False))


def _shown(head: pl.DataFrame) -> pl.DataFrame:
    """Every value as text, also lists, objects and bytes."""
    plain = {name for name, kind in head.schema.items() if not kind.is_nested() and kind != pl.Binary}
    return head.select(
        pl.col(name).cast(pl.String, strict=False)
        if name in plain
        else pl.Series(name, [None if value is None else str(value) for value in head[name]], dtype=pl.String)
        for name in head.columns
    )


def _choose(label: str, names: Sequence[str], meaning: str, *, optional: bool = False, key: str = "") -> str | None:
    """A column for a meaning; at first the one whose name suggests it."""
    options = [UNSET, *names] if optional else list(names)
    guess = next((n for n in names if n.lower() in GUESSES[meaning]), None)
    index = options.index(guess) if guess else 0
    found = st.selectbox(label, options, index=index, key=f"map {key or meaning}")
    return None if found == UNSET else str(found)
