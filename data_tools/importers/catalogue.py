"""The catalogue out of any source: an id, a title, and whatever else describes the items."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from data_tools.importers.csv_files import CsvSource
from data_tools.importers.log import id_checks, refuse_faults, refuse_float_ids
from data_tools.importers.sources import ROW, Source, collect, require
from data_tools.writing import SOURCE_LINE


def read_catalogue(source: Source, columns: Mapping[str, str], *, only: pl.Series | None = None) -> pl.DataFrame:
    """The columns of `source` under their new names (new name → name there), as strings, with the source line.

    `only` keeps the items whose ids it holds.
    Raises `RefusedError` with file, line and remedy at the first record without a usable id.
    """
    names = list(dict.fromkeys(columns.values()))
    item_id = columns["item_id"]
    require(source, names)
    frame = source.scan(names)
    refuse_float_ids(source, frame, [item_id])
    checks = id_checks(item_id)
    wanted = frame.select(
        ROW,
        *(pl.col(name).cast(pl.String).alias(new) for new, name in columns.items()),
        fault=pl.any_horizontal([check.fault for check in checks]),
    )
    if only is not None:
        wanted = wanted.filter(pl.col("fault") | pl.col("item_id").is_in(only.implode()))
    table = collect(source, wanted)
    refuse_faults(source, names, table, checks)
    return table.with_columns(_lines(source, table).alias(SOURCE_LINE)).drop(ROW, "fault")


def _lines(source: Source, table: pl.DataFrame) -> pl.Series:
    """Line of every record: needed, and therefore counted, only where two records share an id."""
    rows = table[ROW].cast(pl.Int64)
    if isinstance(source, CsvSource) and table["item_id"].is_duplicated().any():
        return pl.Series(source.line_numbers(), dtype=pl.Int64).gather(rows)
    return rows + 1
