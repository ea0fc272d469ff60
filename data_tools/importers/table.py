"""Any CSV or Parquet files: one with items, one with interactions, the columns named by the caller."""

from __future__ import annotations

from pathlib import Path

from data_tools.importers.formats import CsvSource
from data_tools.importers.records import LogColumns, Records, read_catalogue, read_log
from data_tools.importers.request import ImportOptions, ImportRequest
from data_tools.importers.sources import Source, TableSource
from data_tools.writing import SOURCE_LINE
from iisan_core.errors import RefusedError

COLUMN_OPTIONS = (
    "item_id",
    "title",
    "image",
    "image_url",
    "text",
    "user_id",
    "log_item_id",
    "timestamp",
    "rating",
    "min_rating",
)
"""Options of every kind whose columns the caller names."""
OWN = ("item_id", "title", "image", "image_url", "line", SOURCE_LINE)
"""Names that a further text column cannot have."""


def read(request: ImportRequest) -> Records:
    """A table of items and a table of interactions.

    Each file is CSV (also gzipped; `.tsv` with tabs) or, by its ending, Parquet. Times are whole numbers in any
    unit, or dates, which become milliseconds since 1970.
    """
    items = _source(request.items, request.options, what="item file")
    log = _source(request.interactions, request.options, what="interaction file")
    return read_tables(items, log, request.options)


def read_tables(items: Source, interactions: Source, options: ImportOptions) -> Records:
    """Two sources whose columns `options` name."""
    log, dropped = read_log(interactions, _log_columns(options), min_rating=options.min_rating)
    return Records(read_catalogue(items, _item_columns(options)), log, dropped)


def _source(path: Path, options: ImportOptions, *, what: str) -> Source:
    if path.suffix.lower() in (".parquet", ".pq"):
        return TableSource.parquet(path, what=what)
    tabs = ".tsv" in [suffix.lower() for suffix in path.suffixes]
    separator = options.separator or ("\t" if tabs else ",")
    if separator == r"\t":  # as a tab is typed where the shell takes none
        separator = "\t"
    if len(separator.encode()) != 1 or separator in '"\r\n':
        raise RefusedError(f"--separator {separator!r}: one plain character stands between the fields, such as ';'")
    return CsvSource(path, what, separator=separator)


def _log_columns(options: ImportOptions) -> LogColumns:
    if (options.rating is None) != (options.min_rating is None):
        raise RefusedError("--rating and --min-rating go together: the column of the ratings, and the lowest to keep")
    return LogColumns(
        user_id=options.user_id or "user_id",
        item_id=options.log_item_id or options.item_id or "item_id",
        timestamp=options.timestamp or "timestamp",
        rating=options.rating,
    )


def _item_columns(options: ImportOptions) -> dict[str, str]:
    taken = sorted({text for text in options.text if text in OWN or options.text.count(text) > 1})
    if taken:
        raise RefusedError(f"--text {', '.join(taken)}: named twice, or a name that the dataset uses itself; rename it")
    columns = {"item_id": options.item_id or "item_id", "title": options.title or "title"}
    if options.image is not None:
        columns["image"] = options.image
    if options.image_url is not None:
        columns["image_url"] = options.image_url
    return columns | {text: text for text in options.text}
