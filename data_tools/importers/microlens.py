"""MicroLens: users' videos in order, or with times; English titles; cover pictures.

items         `item,title` as CSV, with that header or none
interactions  50k: user <TAB> video ids separated by spaces, oldest first; the position becomes the timestamp
              100k: CSV with the columns user, item, timestamp (the format note calls them userID, videoID, timestamp)
covers        a folder or zip of `<item>.jpg`
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from data_tools.importers.catalogue import read_catalogue
from data_tools.importers.csv_files import CsvSource
from data_tools.importers.iisan_tsv import read_sequences
from data_tools.importers.log import LogColumns, read_log
from data_tools.importers.options import ImportOptions, checked_options
from data_tools.importers.pictures import with_pictures
from data_tools.importers.times import MILLISECONDS, SECONDS
from data_tools.writing import default_name, write_dataset
from iisan_core.data.dataset import Dataset

TAKES: tuple[str, ...] = ()
"""Options of this kind."""
TITLES = ("item", "title")
PAIRS = LogColumns(user_id="user", item_id="item", timestamp="timestamp")
PAIRS_OF_THE_NOTE = LogColumns(user_id="userID", item_id="videoID", timestamp="timestamp")


def import_microlens(
    *,
    items: Path,
    interactions: Path,
    out: Path,
    images: Path | None = None,
    name: str | None = None,
    options: ImportOptions | None = None,
) -> Dataset:
    """Import a titles file and a pairs file into the dataset folder `out`.

    Raises `RefusedError`, naming file, line and remedy, on anything that is not in the format above.
    """
    checked_options(options, takes=TAKES, kind="microlens")
    log, dropped = _read_pairs(interactions)
    titles = CsvSource(items, "title file")
    if titles.first[0].strip().isdecimal():
        titles = CsvSource(items, "title file", names=TITLES)
    catalogue = read_catalogue(titles, {"item_id": "item", "title": "title"})
    catalogue, pictures = with_pictures(catalogue, images)
    return write_dataset(
        out,
        name=name or default_name(items.parent),
        source=f"microlens: {items.name}, {interactions.name}",
        items=catalogue,
        interactions=log,
        images=pictures,
        dropped=dropped,
        items_from=str(items),
    )


def _read_pairs(path: Path) -> tuple[pl.DataFrame, dict[str, int]]:
    if ".tsv" in [suffix.lower() for suffix in path.suffixes]:
        log, empty = read_sequences(path)
        return log, {"users_without_interactions": empty}
    pairs = CsvSource(path, "pairs file")
    columns = PAIRS_OF_THE_NOTE if PAIRS_OF_THE_NOTE.user_id in pairs.columns() else PAIRS
    return read_log(pairs, columns, units=[SECONDS, MILLISECONDS])
