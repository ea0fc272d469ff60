"""MovieLens: `movies.dat` and `ratings.dat` (1M, 10M; `::` between the fields) or `.csv` (latest, 20M and later).

movies    id, title (year), genres separated by `|`; the genres become a further text column
ratings   user, movie, rating (0.5 to 5), seconds since 1970
posters   a folder or zip of `<movieId>.jpg`
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from data_tools.importers.formats import CsvSource, DatSource
from data_tools.importers.records import SECONDS, LogColumns, Records, read_catalogue, read_log
from data_tools.importers.request import ImportRequest
from data_tools.importers.sources import Source

MOVIES = ("movieId", "title", "genres")
RATINGS = ("userId", "movieId", "rating", "timestamp")
NO_GENRES = "(no genres listed)"


def read(request: ImportRequest) -> Records:
    """`movies.dat` or `.csv` and `ratings.dat` or `.csv`; every rating counts, unless `min_rating` says otherwise."""
    columns = LogColumns(user_id="userId", item_id="movieId", timestamp="timestamp", rating="rating")
    ratings = _source(request.interactions, RATINGS, what="rating file")
    log, dropped = read_log(ratings, columns, units=[SECONDS], min_rating=request.options.min_rating)
    movies = _source(request.items, MOVIES, what="movie file")
    catalogue = read_catalogue(movies, {"item_id": "movieId", "title": "title", "genres": "genres"})
    genres = pl.col("genres").replace(NO_GENRES, None).str.replace_all("|", ", ", literal=True)
    return Records(catalogue.with_columns(genres), log, dropped)


def _source(path: Path, columns: tuple[str, ...], *, what: str) -> Source:
    if ".dat" in [suffix.lower() for suffix in path.suffixes]:
        return DatSource(path, columns, what)
    return CsvSource(path, what)
