"""MIND, Microsoft's news: `news.tsv` and `behaviors.tsv`, tab-separated, without header or quotes.

news.tsv       news id, category, subcategory, title, abstract, address and more
behaviors.tsv  impression id, user id, time, history (news ids), impressions (news id, then -1 if clicked or -0)

A user's history comes without times, so the order counts: what the earliest impression calls the history, then the
clicks of all impressions, oldest first; the position becomes the timestamp.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from data_tools import import_report
from data_tools.importers.records import Records, Table, read_catalogue, records_of
from data_tools.importers.request import ImportOptions, ImportRequest
from data_tools.reading.delimited import CsvSource
from data_tools.reading.sources import ROW, collect
from iisan_core.errors import RefusedError

NEWS = ("news_id", "category", "subcategory", "title", "abstract", "address", "title entities", "abstract entities")
BEHAVIORS = ("impression_id", "user_id", "time", "history", "impressions")
TIME = "%m/%d/%Y %I:%M:%S %p"


def read(request: ImportRequest) -> Records:
    """News and behaviours."""
    options = request.options
    news = _source(request.items, NEWS, options, what="news file")
    columns = {"item_id": "news_id", "title": "title", "abstract": "abstract", "category": "category"}
    return records_of(read_catalogue(news, columns, options), _read_behaviors(request.interactions, options))


def _source(path: Path, names: tuple[str, ...], options: ImportOptions, *, what: str) -> CsvSource:
    source = CsvSource(path, what, separator="\t", names=names, quoting="none", encoding=options.encoding)
    if len(source.first) not in range(5, len(names) + 1):
        raise RefusedError(
            f"{path}, line 1: {len(source.first)} fields, MIND has {len(names)} ({', '.join(names)}), separated by "
            "tabs; name the file as it was downloaded"
        )
    return source


def _read_behaviors(path: Path, options: ImportOptions) -> Table:
    source = _source(path, BEHAVIORS, options, what="behaviour file")
    time = pl.col("time").str.strip_chars().str.to_datetime(TIME, strict=False)
    frame = source.scan(BEHAVIORS).select(ROW, "user_id", "history", "impressions", time=time)
    shown = collect(source, frame)
    wrong = shown.filter(pl.col("time").is_null() | pl.col("user_id").is_null())
    if not wrong.is_empty():
        raise RefusedError(
            f"{path}, {source.line(wrong[ROW][0])}: no user or no time such as 11/15/2019 8:55:22 AM; download the "
            "file again"
        )
    shown = shown.sort("time", maintain_order=True)
    first = shown.unique("user_id", keep="first", maintain_order=True)
    before = _events(first, pl.col("history").str.split(" "), stage=0)
    clicked = pl.col("impressions").str.split(" ").list.eval(pl.element().filter(pl.element().str.ends_with("-1")))
    after = _events(shown, clicked.list.eval(pl.element().str.strip_suffix("-1")), stage=1)
    events = pl.concat([before, after]).sort("stage", "time", maintain_order=True)
    log = events.select("user_id", "item_id", timestamp=pl.int_range(pl.len(), dtype=pl.Int64).over("user_id"))
    users = shown["user_id"].n_unique() - log["user_id"].n_unique()
    return Table(log, {"users_without_interactions": users}, import_report.reported("interactions", []))


def _events(shown: pl.DataFrame, items: pl.Expr, *, stage: int) -> pl.DataFrame:
    lists = shown.select("user_id", "time", item_id=items, stage=pl.lit(stage)).explode("item_id")
    return lists.filter(pl.col("item_id").is_not_null() & (pl.col("item_id") != ""))
