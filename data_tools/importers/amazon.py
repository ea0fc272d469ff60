"""Amazon reviews of 2018 and 2023: JSON lines, gzip or not, one file of reviews and one of metadata.

            reviews                                           metadata
2018        reviewerID, asin, overall, unixReviewTime (s)     asin, title, description, feature, imageURL(HighRes)
2023        user_id, parent_asin, rating, timestamp (ms)      parent_asin, title, description, features, images

Kept of the metadata: items with a review. A picture's web address goes to the column `image_url`, to be fetched
by `iisan data images`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from data_tools.importers.formats import JsonLinesSource
from data_tools.importers.records import MILLISECONDS, SECONDS, LogColumns, Records, Unit, read_catalogue, read_log
from data_tools.importers.request import ImportRequest


@dataclass(frozen=True)
class Release:
    """What distinguishes one release from the other."""

    log: LogColumns
    unit: Unit
    features: str
    pictures: tuple[str, ...]
    """Fields with picture addresses, the best first."""
    address: Callable[[Any], str | None]
    """The address in such a field, decoded."""


def read_2018(request: ImportRequest) -> Records:
    """Metadata and reviews of 2018; a review that is listed for each colour or size counts once."""
    return _read(request, RELEASE_2018)


def read_2023(request: ImportRequest) -> Records:
    """Metadata and reviews of 2023, likewise."""
    return _read(request, RELEASE_2023)


def _read(request: ImportRequest, release: Release) -> Records:
    reviews = JsonLinesSource(request.interactions, "review file")
    log, dropped = read_log(reviews, release.log, units=[release.unit], min_rating=request.options.min_rating)
    once = log.unique(maintain_order=True)
    metadata = JsonLinesSource(request.items, "metadata file")
    catalogue, repeated = _read_metadata(metadata, release, reviewed=once["item_id"])
    dropped |= {"repeated_reviews": log.height - once.height, "repeated_metadata": repeated}
    return Records(catalogue, once, dropped)


def _read_metadata(source: JsonLinesSource, release: Release, *, reviewed: pl.Series) -> tuple[pl.DataFrame, int]:
    """The catalogue, and the number of records left out because an earlier one has their id."""
    columns = {
        "item_id": release.log.item_id,
        "title": "title",
        "description": "description",
        "features": release.features,
    }
    columns |= {name: name for name in release.pictures}
    table = read_catalogue(source, columns, only=reviewed.unique())
    unique = table.unique("item_id", keep="first", maintain_order=True)
    addresses = [
        next((address for text in fields if (address := release.address(_decoded(text)))), None)
        for fields in unique.select(release.pictures).iter_rows()
    ]
    unique = unique.drop(release.pictures).with_columns(
        _joined(unique["description"]),
        _joined(unique["features"]),
        # Some titles of 2018 are a page's script instead.
        title=pl.when(~pl.col("title").str.contains("getTime", literal=True)).then("title"),
        image_url=pl.Series(addresses, dtype=pl.String),
    )
    return unique, table.height - unique.height


def _joined(texts: pl.Series) -> pl.Series:
    """Lists of paragraphs as one text."""
    joined = [" ".join(_strings(_decoded(text))) or None for text in texts.to_list()]
    return pl.Series(texts.name, joined, dtype=pl.String)


def _decoded(text: str | None) -> Any:
    """Lists and objects from their JSON text; a string is itself."""
    if text is None or not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text  # a description may well begin with a bracket


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _first_address(value: Any) -> str | None:
    """2018: a list of addresses, or one."""
    return next((text for text in _strings(value) if text.startswith(("http://", "https://"))), None)


def _main_address(value: Any) -> str | None:
    """2023: a list of pictures with `variant`, `thumb`, `large`, `hi_res`; the main one, in a size that suffices."""
    pictures = [picture for picture in value if isinstance(picture, dict)] if isinstance(value, list) else []
    pictures.sort(key=lambda picture: picture.get("variant") != "MAIN")
    sizes = [picture.get(size) for picture in pictures for size in ("large", "hi_res", "thumb")]
    return _first_address(sizes)


RELEASE_2018 = Release(
    log=LogColumns(user_id="reviewerID", item_id="asin", timestamp="unixReviewTime", rating="overall"),
    unit=SECONDS,
    features="feature",
    pictures=("imageURLHighRes", "imageURL", "imUrl"),
    address=_first_address,
)
RELEASE_2023 = Release(
    log=LogColumns(user_id="user_id", item_id="parent_asin", timestamp="timestamp", rating="rating"),
    unit=MILLISECONDS,
    features="features",
    pictures=("images",),
    address=_main_address,
)
