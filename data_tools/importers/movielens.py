"""MovieLens: `movies.dat` and `ratings.dat` (1M, 10M), `.csv` (latest, 20M and later), `u.item` and `u.data` (100K).

movies    id, title (year), genres separated by `|`; the genres become a further text column (100K: numbers, left out)
ratings   user, movie, rating (0.5 to 5), seconds since 1970, or dates
posters   a folder or zip of `<movieId>.jpg`
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from data_tools.importers.records import LogColumns, Records, Table, read_catalogue, read_log, records_of
from data_tools.importers.request import ImportOptions, ImportRequest
from data_tools.reading.delimited import CsvSource
from data_tools.reading.lines import DatSource, read_lines
from data_tools.reading.sources import Source
from data_tools.written_times import SECONDS

MOVIES = ("movieId", "title", "genres")
RATINGS = ("userId", "movieId", "rating", "timestamp")
NO_GENRES = "(no genres listed)"


BEFORE_GENRES = ("movieId", "title", "released", "released on video", "address")
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""Columns of `u.item`, 1 where a movie is of the genre."""


def read(request: ImportRequest) -> Records:
    """Movies and ratings; every rating counts, unless `min_rating` says otherwise."""
    options = request.options
    columns = LogColumns(user_id="userId", item_id="movieId", timestamp="timestamp", rating="rating")
    ratings = _source(request.interactions, RATINGS, options, what="rating file")
    log = read_log(ratings, columns, options, units=[SECONDS])
    if request.items.name.lower().startswith("u.item"):
        return records_of(_movies_of_100k(request.items, options), log)
    movies = _source(request.items, MOVIES, options, what="movie file")
    catalogue = read_catalogue(movies, {"item_id": "movieId", "title": "title", "genres": "genres"}, options)
    genres = pl.col("genres").replace(NO_GENRES, None).str.replace_all("|", ", ", literal=True)
    return records_of(replace(catalogue, rows=catalogue.rows.with_columns(genres)), log)


def _source(path: Path, columns: tuple[str, ...], options: ImportOptions, *, what: str) -> Source:
    name = path.name.lower()
    if name.startswith("u.data"):
        return DatSource(path, columns, what, separator="\t", encoding=options.encoding)
    if ".dat" in [suffix.lower() for suffix in path.suffixes]:
        place = columns.index("title") if "title" in columns else None
        return DatSource(path, columns, what, encoding=options.encoding, holds_separators=place)
    return CsvSource(path, what, quoting=options.quoting, encoding=options.encoding)


def _movies_of_100k(path: Path, options: ImportOptions) -> Table:
    """`u.item`: its genres are columns of 0 and 1; without these, id and title are read."""
    first = read_lines(path, what="movie file", encoding=options.encoding, otherwise="latin-1")["text"][0]
    more = first.count("|") + 1 - len(BEFORE_GENRES)
    flags = GENRES if more == len(GENRES) else tuple(f"field {number}" for number in range(more))
    source = DatSource(path, (*BEFORE_GENRES, *flags), "movie file", separator="|", encoding=options.encoding)
    if flags != GENRES:
        return read_catalogue(source, {"item_id": "movieId", "title": "title"}, options)
    columns = {"item_id": "movieId", "title": "title", **{genre: genre for genre in GENRES}}
    table = read_catalogue(source, columns, options)
    named = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES if genre != "unknown"]
    genres = pl.concat_str(named, separator=", ", ignore_nulls=True)
    return replace(table, rows=table.rows.with_columns(genres=genres).drop(GENRES))
