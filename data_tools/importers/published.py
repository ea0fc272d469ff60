"""Data sets that are published as plain tables: which columns are what.

kind        catalogue                                               log
yelp        business.json: business_id, name, categories            review.json: user_id, business_id, stars, date
goodreads   books.json: book_id, title, description                 interactions.json: user_id, book_id, date_added
h-and-m     articles.csv: article_id, prod_name, detail_desc …      transactions_train.csv: customer_id, t_dat
mmrec       meta.csv: itemID, title …                               .inter: userID, itemID, timestamp (tabs)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from data_tools.importers.records import LogColumns, Records, read_catalogue, read_log, records_of
from data_tools.importers.request import ImportRequest
from data_tools.importers.table import open_source
from data_tools.reading.sources import Source
from data_tools.written_times import MILLISECONDS, SECONDS, Unit


@dataclass(frozen=True, kw_only=True)
class Published:
    """The columns of a published data set."""

    item_id: str
    title: str
    texts: tuple[str, ...] = ()
    """Further texts, kept under their own names; those that a file lacks are left out."""
    image_url: str | None = None
    log: LogColumns
    units: tuple[Unit, ...] = (SECONDS, MILLISECONDS)
    log_separator: str | None = None


def _read(request: ImportRequest, kind: Published) -> Records:
    options = request.options
    log_options = replace(options, separator=kind.log_separator)
    log = open_source(request.interactions, log_options, what="interaction file")
    items = open_source(request.items, options, what="item file")
    table = read_log(log, kind.log, options, units=kind.units)
    return records_of(read_catalogue(items, _columns(items, kind), options), table)


def _columns(source: Source, kind: Published) -> dict[str, str]:
    """New name → column there."""
    wanted = {"item_id": kind.item_id, "title": kind.title, **{text: text for text in kind.texts}}
    if kind.image_url is not None:
        wanted["image_url"] = kind.image_url
    there = source.columns()
    needed = (kind.item_id, kind.title)
    return {new: name for new, name in wanted.items() if there is None or name in there or name in needed}


KINDS = {
    "yelp": Published(
        item_id="business_id",
        title="name",
        texts=("categories", "city"),
        log=LogColumns(user_id="user_id", item_id="business_id", timestamp="date", rating="stars"),
    ),
    "goodreads": Published(
        item_id="book_id",
        title="title",
        texts=("description",),
        image_url="image_url",
        log=LogColumns(user_id="user_id", item_id="book_id", timestamp="date_added", rating="rating"),
    ),
    "h-and-m": Published(
        item_id="article_id",
        title="prod_name",
        texts=("product_type_name", "colour_group_name", "detail_desc"),
        log=LogColumns(user_id="customer_id", item_id="article_id", timestamp="t_dat", rating="price"),
    ),
    "mmrec": Published(
        item_id="itemID",
        title="title",
        texts=("description", "brand", "categories"),
        image_url="imUrl",
        log=LogColumns(user_id="userID", item_id="itemID", timestamp="timestamp", rating="rating"),
        log_separator="\t",
    ),
}
READERS = {name: partial(_read, kind=kind) for name, kind in KINDS.items()}
"""Kind → what reads it."""
RATED = tuple(name for name in KINDS if name != "h-and-m")
"""Kinds whose logs have ratings."""
