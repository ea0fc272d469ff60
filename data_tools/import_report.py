"""`import-report.parquet` beside `dataset.json`: every row that was left out or lacks something, and why.

    table   items, interactions or pictures
    row     line or row of the source, from 1; null where there is none
    id      item, picture or whatever else the row is known by
    reason  in words

Messages name the first few; here they stand in full.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from iisan_core.files import replacing

NAME = "import-report.parquet"
SCHEMA = {"table": pl.String, "row": pl.Int64, "id": pl.String, "reason": pl.String}


def reported(table: str, rows: Iterable[tuple[int | None, str, str]]) -> pl.DataFrame:
    """Rows, ids and reasons of one table."""
    return pl.DataFrame([(table, *row) for row in rows], schema=SCHEMA, orient="row")


def unknown_items(interactions: pl.DataFrame, known: pl.Series) -> pl.DataFrame:
    """Items of the log that the catalogue lacks, the most frequent first."""
    lost = interactions.filter(~pl.col("item_id").is_in(known.implode()))["item_id"].value_counts(sort=True)
    reason = pl.format("the catalogue has no such item; {} interactions", pl.col("count"))
    return lost.select(table=pl.lit("interactions"), row=pl.lit(None, pl.Int64), id="item_id", reason=reason)


def write(folder: Path, parts: Iterable[pl.DataFrame]) -> None:
    """Write what there is to report; nothing if there is nothing."""
    report = pl.concat([pl.DataFrame(schema=SCHEMA), *parts])
    if not report.is_empty():
        report.write_parquet(folder / NAME)


def append(folder: Path, parts: Iterable[pl.DataFrame]) -> None:
    """Add to what is reported already; the file is replaced in one step."""
    more = [part for part in parts if not part.is_empty()]
    if more:
        before = [pl.read_parquet(folder / NAME)] if (folder / NAME).exists() else []
        with replacing(folder / NAME) as temporary:
            pl.concat([*before, *more]).write_parquet(temporary)
