"""MovieLens: `movies.dat` and `ratings.dat` (1M, 10M; `::` between the fields) or `.csv` (latest, 20M and later).

movies    id, title (year), genres separated by `|`; the genres become a further text column
ratings   user, movie, rating (0.5 to 5), seconds since 1970
posters   a folder or zip of `<movieId>.jpg`
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from data_tools.importers.catalogue import read_catalogue
from data_tools.importers.csv_files import CsvSource
from data_tools.importers.dat_files import DatSource
from data_tools.importers.log import LogColumns, read_log
from data_tools.importers.options import ImportOptions, checked_options
from data_tools.importers.pictures import with_pictures
from data_tools.importers.sources import Source
from data_tools.importers.times import SECONDS
from data_tools.writing import default_name, write_dataset
from iisan_core.data.dataset import Dataset

TAKES = ("min_rating",)
"""Options of this kind."""
MOVIES = ("movieId", "title", "genres")
RATINGS = ("userId", "movieId", "rating", "timestamp")
NO_GENRES = "(no genres listed)"


def import_movielens(
    *,
    items: Path,
    interactions: Path,
    out: Path,
    images: Path | None = None,
    name: str | None = None,
    options: ImportOptions | None = None,
) -> Dataset:
    """Import `movies.dat` or `.csv` and `ratings.dat` or `.csv` into the dataset folder `out`.

    Every rating counts as an interaction, unless `options.min_rating` says otherwise.
    Raises `RefusedError`, naming file, line and remedy, on anything that is not in the format above.
    """
    options = checked_options(options, takes=TAKES, kind="movielens")
    columns = LogColumns(user_id="userId", item_id="movieId", timestamp="timestamp", rating="rating")
    log, dropped = read_log(
        _source(interactions, RATINGS, what="rating file"), columns, units=[SECONDS], min_rating=options.min_rating
    )
    movies = read_catalogue(
        _source(items, MOVIES, what="movie file"), {"item_id": "movieId", "title": "title", "genres": "genres"}
    )
    genres = pl.col("genres").replace(NO_GENRES, None).str.replace_all("|", ", ", literal=True)
    movies, pictures = with_pictures(movies.with_columns(genres), images)
    return write_dataset(
        out,
        name=name or default_name(items.parent),
        source=f"movielens: {items.name}, {interactions.name}",
        items=movies,
        interactions=log,
        images=pictures,
        dropped=dropped,
        items_from=str(items),
    )


def _source(path: Path, columns: tuple[str, ...], *, what: str) -> Source:
    if ".dat" in [suffix.lower() for suffix in path.suffixes]:
        return DatSource(path, columns, what)
    return CsvSource(path, what)
