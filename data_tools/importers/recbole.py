"""RecBole's atomic files: `.item` and `.inter`, separated by tabs, whose headers name columns and their types.

items         item_id:token, title:token_seq … – all columns of the types token and token_seq become texts
interactions  user_id:token, item_id:token, timestamp:float, optionally rating:float
"""

from __future__ import annotations

from pathlib import Path

from data_tools.importers.records import LogColumns, Records, read_catalogue, read_log, records_of
from data_tools.importers.request import ImportOptions, ImportRequest
from data_tools.reading.delimited import CsvSource
from data_tools.written_times import MILLISECONDS, SECONDS
from iisan_core.errors import RefusedError

TEXTS = ("token", "token_seq")
TITLES = ("title", "name", "item_name", "movie_title", "titles")
"""Columns that hold the title, the best first."""


def read(request: ImportRequest) -> Records:
    """An `.inter` and an `.item` file; ratings count only where `min_rating` asks for them."""
    options = request.options
    log = _source(request.interactions, options, what="interaction file")
    names = _names(log)
    columns = LogColumns(
        user_id=_column(log, names, "user_id"),
        item_id=_column(log, names, "item_id"),
        timestamp=_column(log, names, "timestamp"),
        rating=_column(log, names, "rating") if options.min_rating is not None else None,
    )
    items = _source(request.items, options, what="item file")
    interactions = read_log(log, columns, options, units=[SECONDS, MILLISECONDS])
    return records_of(read_catalogue(items, _texts(items), options), interactions)


def _source(path: Path, options: ImportOptions, *, what: str) -> CsvSource:
    return CsvSource(path, what, separator="\t", quoting=options.quoting, encoding=options.encoding)


def _names(source: CsvSource) -> dict[str, str]:
    """Name without type → the column as the file names it."""
    return {column.partition(":")[0]: column for column in source.columns()}


def _column(source: CsvSource, names: dict[str, str], name: str) -> str:
    if name not in names:
        raise RefusedError(
            f"{source.name}, line 1: the columns are {source.columns()}, {name!r} is not among them; atomic files name "
            f"them with their types, such as {name}:token"
        )
    return names[name]


def _texts(source: CsvSource) -> dict[str, str]:
    """New name → column, of the id, the title and further texts."""
    names = _names(source)
    texts = {name: column for name, column in names.items() if column.partition(":")[2] in TEXTS and name != "item_id"}
    title = next((name for name in TITLES if name in names), None)
    if title is None:
        raise RefusedError(
            f"{source.name}, line 1: none of the columns {source.columns()} is called {' or '.join(TITLES)}; rename "
            "the one that holds the title"
        )
    return {"item_id": _column(source, names, "item_id"), "title": texts.pop(title, names[title]), **texts}
