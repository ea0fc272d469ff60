"""Any tables, CSV, JSON lines, Parquet and others: one of items, one of interactions, columns named by the caller."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data_tools.importers.guesses import guess_separator, with_guesses
from data_tools.importers.records import LogColumns, Records, read_catalogue, read_log, records_of
from data_tools.importers.request import ImportOptions, ImportRequest
from data_tools.reading.delimited import CsvSource
from data_tools.reading.encodings import TextFile
from data_tools.reading.json_lines import JsonLinesSource
from data_tools.reading.sources import Source
from data_tools.reading.tables import TableSource, one_row_an_event, open_table
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
    "time_format",
)
"""Options of every kind whose columns the caller names."""
OWN = ("item_id", "title", "image", "image_url", "line", SOURCE_LINE)
"""Names that a further text column cannot have."""


def read(request: ImportRequest) -> Records:
    """A table of items and a table of interactions.

    Each file is CSV (packed or not; `.tsv` with tabs), JSON lines, Parquet (a file or a folder of parts), Feather or
    Excel. Times are whole numbers in any unit, or dates, which become milliseconds since 1970.
    """
    options = _separated(request) if request.options.guess else request.options
    items = open_source(request.items, options, what="item file")
    log = open_log(request.interactions, options)
    return read_tables(items, log, with_guesses(items, log, options) if options.guess else options)


def _separated(request: ImportRequest) -> ImportOptions:
    """The options, with guesses for separators that were not named."""
    options = request.options
    log = options.log_separator or options.separator or _guessed(request.interactions, options, what="interaction file")
    items = options.separator or _guessed(request.items, options, what="item file")
    return replace(options, separator=items, log_separator=log)


def _guessed(path: Path, options: ImportOptions, *, what: str) -> str | None:
    if open_table(path, what=what) is not None or _is_json(path, options, what=what):
        return None
    return guess_separator(path, what=what, encoding=options.encoding)


def _is_json(path: Path, options: ImportOptions, *, what: str) -> bool:
    return TextFile(path, what=what, encoding=options.encoding).begins.lstrip().startswith("{")


def read_tables(items: Source, interactions: Source, options: ImportOptions) -> Records:
    """Two sources whose columns `options` name."""
    columns = log_columns(options)
    if isinstance(interactions, TableSource):
        interactions = one_row_an_event(
            interactions, user=columns.user_id, item=columns.item_id, time=columns.timestamp
        )
    log = read_log(interactions, columns, options)
    return records_of(read_catalogue(items, item_columns(options), options), log)


def open_log(path: Path, options: ImportOptions) -> Source:
    """The log, whose separator and columns may differ from the catalogue's."""
    separator = options.log_separator or options.separator
    of_log = replace(options, separator=separator, columns=options.log_columns)
    return open_source(path, of_log, what="interaction file")


def open_source(path: Path, options: ImportOptions, *, what: str) -> Source:
    """A file of records by what is in it; raises `RefusedError` if there is none, or the separator is none."""
    separator = _checked_separator(options.separator)
    table = open_table(path, what=what)
    if table is not None:
        return table
    if separator is None and _is_json(path, options, what=what):
        return JsonLinesSource(path, what, encoding=options.encoding)
    tabs = ".tsv" in [suffix.lower() for suffix in path.suffixes]
    return CsvSource(
        path,
        what,
        separator=separator or ("\t" if tabs else ","),
        names=_named(options.columns),
        quoting=options.quoting,
        encoding=options.encoding,
    )


def _named(columns: tuple[str, ...]) -> tuple[str, ...] | None:
    """Names of the columns of a file without header, those that are not needed told apart."""
    return tuple(name if name != "_" else f"_ ({n})" for n, name in enumerate(columns, start=1)) or None


def _checked_separator(separator: str | None) -> str | None:
    if separator == r"\t":  # as a tab is typed where the shell takes none
        return "\t"
    if separator is not None and (len(separator.encode()) != 1 or separator in '"\r\n'):
        raise RefusedError(f"--separator {separator!r}: one plain character stands between the fields, such as ';'")
    return separator


def log_columns(options: ImportOptions) -> LogColumns:
    """What the columns of the log are called; raises `RefusedError` for half of what belongs together."""
    if (options.rating is None) != (options.min_rating is None):
        raise RefusedError("--rating and --min-rating go together: the column of the ratings, and the lowest to keep")
    return LogColumns(
        user_id=options.user_id or "user_id",
        item_id=options.log_item_id or options.item_id or "item_id",
        timestamp=options.timestamp or "timestamp",
        rating=options.rating,
    )


def item_columns(options: ImportOptions) -> dict[str, str]:
    """New name → column of the catalogue; raises `RefusedError` for names that are taken."""
    taken = sorted({text for text in options.text if text in OWN or options.text.count(text) > 1})
    if taken:
        raise RefusedError(f"--text {', '.join(taken)}: named twice, or a name that the dataset uses itself; rename it")
    columns = {"item_id": options.item_id or "item_id", "title": options.title or "title"}
    if options.image is not None:
        columns["image"] = options.image
    if options.image_url is not None:
        columns["image_url"] = options.image_url
    return columns | {text: text for text in options.text}
