"""Any CSV or Parquet files: one with items, one with interactions, the columns named by the caller."""

from __future__ import annotations

from pathlib import Path

from data_tools.importers.catalogue import read_catalogue
from data_tools.importers.csv_files import CsvSource
from data_tools.importers.log import LogColumns, read_log
from data_tools.importers.options import ImportOptions, checked_options
from data_tools.importers.pictures import with_pictures
from data_tools.importers.sources import Source, TableSource
from data_tools.writing import SOURCE_LINE, default_name, write_dataset
from iisan_core.data.dataset import Dataset
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
TAKES = (*COLUMN_OPTIONS, "separator")
"""Options of this kind."""
OWN = ("item_id", "title", "image", "image_url", "line", SOURCE_LINE)
"""Names that a further text column cannot have."""


def import_table(
    *,
    items: Path,
    interactions: Path,
    out: Path,
    images: Path | None = None,
    name: str | None = None,
    options: ImportOptions | None = None,
) -> Dataset:
    """Import a table of items and a table of interactions into the dataset folder `out`.

    Each file is CSV (also gzipped; `.tsv` with tabs) or, by its ending, Parquet. Times are whole numbers in any
    unit, or dates, which become milliseconds since 1970. Pictures are those that the column `options.image`
    names below `images`, else `<item id>.jpg` or `.png`.
    Raises `RefusedError`, naming file, line (row in Parquet) and remedy, on anything that cannot be used.
    """
    options = checked_options(options, takes=TAKES, kind="table")
    return import_tables(
        _source(items, options, what="item file"),
        _source(interactions, options, what="interaction file"),
        options=options,
        images=images,
        out=out,
        name=name or default_name(items.parent),
        source=f"table: {items.name}, {interactions.name}",
    )


def import_tables(
    items: Source,
    interactions: Source,
    *,
    options: ImportOptions,
    images: Path | None,
    out: Path,
    name: str,
    source: str,
) -> Dataset:
    """Import two sources whose columns `options` name."""
    log, dropped = read_log(interactions, _log_columns(options), min_rating=options.min_rating)
    catalogue = read_catalogue(items, _item_columns(options))
    catalogue, pictures = with_pictures(catalogue, images)
    return write_dataset(
        out,
        name=name,
        source=source,
        items=catalogue,
        interactions=log,
        images=pictures,
        dropped=dropped,
        items_from=items.name,
    )


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
