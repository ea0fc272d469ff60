"""MicroLens: users' videos in order, or with times; English titles; cover pictures.

items         `item,title` as CSV, with that header or none
interactions  50k: user <TAB> video ids separated by spaces, oldest first; the position becomes the timestamp
              100k: CSV with the columns user, item, timestamp (the format note calls them userID, videoID, timestamp)
covers        a folder or zip of `<item>.jpg`
"""

from __future__ import annotations

from pathlib import Path

from data_tools import import_report
from data_tools.importers.iisan_tsv import read_sequences
from data_tools.importers.records import LogColumns, Records, Table, read_catalogue, read_log, records_of
from data_tools.importers.request import ImportOptions, ImportRequest
from data_tools.reading.delimited import CsvSource
from data_tools.written_times import MILLISECONDS, SECONDS

TITLES = ("item", "title")
PAIRS = LogColumns(user_id="user", item_id="item", timestamp="timestamp")
PAIRS_OF_THE_NOTE = LogColumns(user_id="userID", item_id="videoID", timestamp="timestamp")


def read(request: ImportRequest) -> Records:
    """A titles file and a pairs file."""
    log = _read_pairs(request.interactions, request.options)
    titles = _csv(request.items, request.options, what="title file")
    if titles.first[0].strip().isdecimal():
        titles = _csv(request.items, request.options, what="title file", names=TITLES)
    return records_of(read_catalogue(titles, {"item_id": "item", "title": "title"}, request.options), log)


def _read_pairs(path: Path, options: ImportOptions) -> Table:
    if ".tsv" in [suffix.lower() for suffix in path.suffixes]:
        log, empty = read_sequences(path, encoding=options.encoding)
        return Table(log, {"users_without_interactions": empty}, import_report.reported("interactions", []))
    pairs = _csv(path, options, what="pairs file")
    columns = PAIRS_OF_THE_NOTE if PAIRS_OF_THE_NOTE.user_id in pairs.columns() else PAIRS
    return read_log(pairs, columns, options, units=[SECONDS, MILLISECONDS])


def _csv(path: Path, options: ImportOptions, *, what: str, names: tuple[str, ...] | None = None) -> CsvSource:
    return CsvSource(path, what, names=names, quoting=options.quoting, encoding=options.encoding)
