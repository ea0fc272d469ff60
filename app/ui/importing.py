"""Import raw files into a dataset of the workspace: their kind, which column is what, a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from data_tools.importers.guesses import guess, guess_separator, look_swapped
from data_tools.importers.request import ImportOptions, ImportRequest
from data_tools.importers.table import open_source
from data_tools.reading.delimited import CsvSource
from data_tools.reading.json_lines import JsonLinesSource
from data_tools.reading.sources import ROW, Source, collect
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
PREVIEW = 5
SEPARATED = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
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
    if options is not None and st.button("Import", type="primary", icon=":material/download:", key="import"):
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


def _choose_options(workspace: Workspace, kind: str, sources: Sources) -> dict[str, Any] | None:
    """What the kind may be told, by the names of `ImportOptions`; None where a file has a fault, which is drawn."""
    takes = TAKES[kind]
    options: dict[str, Any] = {}
    if kind == "table":
        separator = st.text_input("Separator (unset: found by looking)", key="separator", width=320) or None
        columns = _choose_columns(sources, workspace.datasets, separator=separator)
        if columns is None:
            return None
        options = columns
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


def _choose_columns(sources: Sources, shelf: Path, *, separator: str | None) -> dict[str, Any] | None:
    """Options of the importer `table`, as the visitor maps the columns; draws the head of both files, or their faults.

    shelf  where uploads lie while their heads are read
    """
    assert sources.items is not None and sources.interactions is not None, "asked for only when complete"
    left, right = st.columns(2, gap="medium")
    with left:
        items = _draw_head(sources.items, shelf, what="item file", separator=separator, title="Catalogue")
    with right:
        log = _draw_head(sources.interactions, shelf, what="interaction file", separator=separator, title="Log")
    if items is None or log is None:
        return None
    if look_swapped(items.names, log.names):
        raise RefusedError(
            f"the catalogue has the columns {', '.join(items.names)}, as a log has, and the log has not; swap the files"
        )
    with left:
        chosen: dict[str, Any] = {
            "item_id": _choose("Item id", items.names, "item_id"),
            "title": _choose("Title", items.names, "title"),
            "image": _choose("Picture's file name", items.names, "image", optional=True),
            "image_url": _choose("Picture's web address", items.names, "image_url", optional=True),
        }
        taken = {*chosen.values(), *chosen}
        further = [name for name in items.names if name not in taken]
        chosen["text"] = tuple(st.multiselect("Further texts", further, key="map text"))
    with right:
        chosen["user_id"] = _choose("User id", log.names, "user_id")
        chosen["log_item_id"] = _choose("Item id", log.names, "item_id", key="log item")
        chosen["timestamp"] = _choose("Time", log.names, "timestamp")
        chosen["rating"] = _choose("Rating", log.names, "rating", optional=True)
    return chosen | {"separator": items.separator, "log_separator": log.separator}


@dataclass(frozen=True)
class Head:
    """What a file looks like."""

    rows: pl.DataFrame
    separator: str | None
    """Between its fields; None where it is no separated file."""

    @property
    def names(self) -> list[str]:
        """Its columns."""
        return self.rows.columns


def _draw_head(source: str | UploadedFile, shelf: Path, *, what: str, separator: str | None, title: str) -> Head | None:
    """Draw the first rows of a file, or what is wrong with it, in its place."""
    name = Path(source).name if isinstance(source, str) else source.name
    st.markdown(f"**{title}** · {plain(name)}")
    try:
        if isinstance(source, str):
            head = _head(Path(source).expanduser(), what=what, separator=separator)
        else:
            head = _head_of_upload(source.file_id, what, separator, source, shelf)
    except IisanError as error:
        show_fault(error)
        return None
    if head.separator:
        st.caption(f"Fields separated by {SEPARATED.get(head.separator, head.separator)}")
    st.dataframe(head.rows, hide_index=True, height=38 * PREVIEW + 38)
    return head


@st.cache_resource(max_entries=16, show_spinner="Reading the upload …")
def _head_of_upload(file_id: str, what: str, separator: str | None, _upload: UploadedFile, _shelf: Path) -> Head:
    """Once per upload: to be read it is copied as a whole."""
    with as_file(_upload, _shelf) as path:
        return _head(path, what=what, separator=separator)


def _head(path: Path, *, what: str, separator: str | None) -> Head:
    """The first rows, as text."""
    source = open_source(path, ImportOptions(separator=separator), what=what)
    if isinstance(source, CsvSource) and separator is None:
        source = replace(source, separator=guess_separator(path, what=what) or source.separator)
    names = source.columns() or _fields(source)
    if not names:
        raise RefusedError(f"{source.name} names no columns; the kind `table` needs a header line")
    rows = collect(source, source.scan(names).head(PREVIEW)).drop(ROW, strict=False)
    return Head(_shown(rows), source.separator if isinstance(source, CsvSource) else None)


def _fields(source: Source) -> list[str]:
    """The fields of the first object of a file of JSON lines."""
    return source.first_fields() if isinstance(source, JsonLinesSource) else []


def _shown(head: pl.DataFrame) -> pl.DataFrame:
    """Every value as text, also lists, objects and bytes."""
    plain = {name for name, kind in head.schema.items() if not kind.is_nested() and kind != pl.Binary}
    return head.select(
        pl.col(name).cast(pl.String, strict=False)
        if name in plain
        else pl.Series(name, [None if value is None else str(value) for value in head[name].to_list()], dtype=pl.String)
        for name in head.columns
    )


def _choose(label: str, names: Sequence[str], meaning: str, *, optional: bool = False, key: str = "") -> str | None:
    """A column for a meaning; at first the one whose name suggests it."""
    options = [UNSET, *names] if optional else list(names)
    likely = guess(meaning, names)
    index = options.index(likely) if likely else 0
    found = st.selectbox(label, options, index=index, key=f"map {key or meaning}")
    return None if found == UNSET else str(found)
