"""Amazon reviews of 2014, 2018 and 2023: JSON lines, packed or not, one file of reviews and one of metadata.

            reviews                                           metadata
2014        reviewerID, asin, overall, unixReviewTime (s)     asin, title, description, imUrl; Python's dictionaries
2018        reviewerID, asin, overall, unixReviewTime (s)     asin, title, description, feature, imageURL(HighRes)
2023        user_id, parent_asin, rating, timestamp (ms)      parent_asin, title, description, features, images

Reviews may also be the CSV file "ratings only" with these columns. Kept of the metadata: items with a review. A
picture's web address goes to the column `image_url`, to be fetched by `iisan data images`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from data_tools.importers.records import LogColumns, Records, Table, read_catalogue, read_log
from data_tools.importers.request import ImportOptions, ImportRequest
from data_tools.reading.delimited import CsvSource
from data_tools.reading.encodings import TextFile
from data_tools.reading.json_lines import Convert, JsonLinesSource
from data_tools.reading.sources import Source
from data_tools.written_times import MILLISECONDS, SECONDS, Unit


@dataclass(frozen=True)
class Release:
    """What distinguishes one release from the others."""

    log: LogColumns
    units: tuple[Unit, ...]
    features: str | None
    pictures: tuple[str, ...]
    """Fields with picture addresses, the best first."""
    address: Convert
    """The address in such a field."""


def _read(request: ImportRequest, release: Release) -> Records:
    """Metadata and reviews; a review that is listed for each colour or size counts once."""
    options = request.options
    reviews = _reviews(request.interactions, options)
    log = read_log(reviews, release.log, options, units=release.units)
    once = log.rows.unique(maintain_order=True)
    metadata = _read_metadata(request.items, release, options, reviewed=once["item_id"])
    repeated = {"repeated_reviews": log.rows.height - once.height}
    dropped = log.dropped | metadata.dropped | repeated
    return Records(metadata.rows, once, dropped, report=[metadata.report, log.report])


def _reviews(path: Path, options: ImportOptions) -> Source:
    file = TextFile(path, what="review file", encoding=options.encoding)
    if ".csv" in [suffix.lower() for suffix in path.suffixes] and file.begins.lstrip()[:1] != "{":
        return CsvSource(path, "review file", quoting=options.quoting, encoding=options.encoding)
    return JsonLinesSource(path, "review file", encoding=options.encoding)


def _read_metadata(path: Path, release: Release, options: ImportOptions, *, reviewed: pl.Series) -> Table:
    """The catalogue without records of which an earlier one has the id."""
    ways: dict[str, Convert] = {"title": _text, "description": _paragraphs}
    columns = {"item_id": release.log.item_id, "title": "title", "description": "description"}
    if release.features is not None:
        columns["features"] = release.features
        ways[release.features] = _paragraphs
    columns |= {name: name for name in release.pictures}
    ways |= dict.fromkeys(release.pictures, release.address)
    source = JsonLinesSource(path, "metadata file", convert=ways, encoding=options.encoding)
    table = read_catalogue(source, columns, options, only=reviewed.unique())
    unique = table.rows.unique("item_id", keep="first", maintain_order=True)
    repeated = {"repeated_metadata": table.rows.height - unique.height}
    unique = unique.with_columns(image_url=pl.coalesce(release.pictures)).drop(release.pictures)
    # Some titles of 2018 are a page's script instead.
    title = pl.when(~pl.col("title").str.contains("getTime", literal=True)).then("title")
    return Table(unique.with_columns(title=title), table.dropped | repeated, table.report)


def _text(value: Any) -> str | None:
    """A title; some are lists of one."""
    return " ".join(_strings(value)) or None if not isinstance(value, int | float) else str(value)


def _paragraphs(value: Any) -> str | None:
    """Lists of paragraphs as one text."""
    return " ".join(_strings(value)) or None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _first_address(value: Any) -> str | None:
    """2014 and 2018: a list of addresses, or one."""
    return next((text for text in _strings(value) if text.startswith(("http://", "https://"))), None)


def _main_address(value: Any) -> str | None:
    """2023: pictures with `variant`, `thumb`, `large`, `hi_res`; the main one, in a size that suffices.

    They are a list of objects, or, as the hub's library writes them, one object of lists.
    """
    if isinstance(value, dict):
        lists = {key: part for key, part in value.items() if isinstance(part, list)}
        length = max(map(len, lists.values()), default=0)
        value = [{key: part[place] for key, part in lists.items() if place < len(part)} for place in range(length)]
    pictures = [picture for picture in value if isinstance(picture, dict)] if isinstance(value, list) else []
    pictures.sort(key=lambda picture: picture.get("variant") != "MAIN")
    sizes = [picture.get(size) for picture in pictures for size in ("large", "hi_res", "thumb")]
    return _first_address(sizes)


BY_REVIEWER = LogColumns(user_id="reviewerID", item_id="asin", timestamp="unixReviewTime", rating="overall")
RELEASES = {
    "amazon-2014": Release(
        log=BY_REVIEWER, units=(SECONDS,), features=None, pictures=("imUrl",), address=_first_address
    ),
    "amazon-2018": Release(
        log=BY_REVIEWER,
        units=(SECONDS,),
        features="feature",
        pictures=("imageURLHighRes", "imageURL", "imUrl"),
        address=_first_address,
    ),
    "amazon-2023": Release(
        log=LogColumns(user_id="user_id", item_id="parent_asin", timestamp="timestamp", rating="rating"),
        units=(MILLISECONDS, SECONDS),
        features="features",
        pictures=("images",),
        address=_main_address,
    ),
}
"""Kind → its release."""
READERS = {kind: partial(_read, release=release) for kind, release in RELEASES.items()}
"""Kind → what reads it."""
