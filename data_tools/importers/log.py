"""The log of interactions out of any source: ids checked, times understood, low ratings left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from data_tools.importers.sources import ROW, Source, collect, require, schema_of
from data_tools.importers.times import Unit, date_unit, in_range, time_of
from iisan_core.errors import RefusedError


@dataclass(frozen=True, kw_only=True)
class LogColumns:
    """What the columns of the log are called in the source."""

    user_id: str
    item_id: str
    timestamp: str
    rating: str | None = None


@dataclass(frozen=True)
class Check:
    """A condition that no record may meet."""

    fault: pl.Expr
    column: str
    says: str
    """What is wrong and what to do, after `the <column> '<value>' `."""


def read_log(
    source: Source, columns: LogColumns, *, units: Sequence[Unit] = (), min_rating: float | None = None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """`user_id`, `item_id`, `timestamp` of every record rated at least `min_rating`, and what was dropped.

    `units` are those that the format allows for its times; empty: any, and dates as well.
    Raises `RefusedError` with file, line and remedy at the first record that cannot be used.
    """
    names = [columns.user_id, columns.item_id, columns.timestamp]
    if min_rating is not None:
        assert columns.rating is not None, "a bound on ratings needs their column"
        names.append(columns.rating)
    _refuse_two_roles(source, names)
    require(source, names)
    frame = source.scan(names)
    time = time_of(source, frame, columns.timestamp, dates=not units)
    kept = pl.lit(True)
    checks = [*id_checks(columns.user_id), *id_checks(columns.item_id)]
    checks.append(_time_check(columns.timestamp, time, units or date_unit(source, frame, columns.timestamp)))
    if min_rating is not None and columns.rating is not None:
        rating = pl.col(columns.rating).cast(pl.Float64, strict=False)
        checks.append(Check(rating.is_null() | rating.is_nan(), columns.rating, "is no number; correct or drop it"))
        kept = rating >= min_rating
    refuse_float_ids(source, frame, names[:2])
    fault = pl.any_horizontal([check.fault for check in checks])
    log = collect(
        source,
        frame.select(
            ROW,
            user_id=pl.col(columns.user_id).cast(pl.String),
            item_id=pl.col(columns.item_id).cast(pl.String),
            timestamp=time,
            kept=kept,
            fault=fault,
        ),
    )
    refuse_faults(source, names, log, checks)
    chosen = log.filter("kept").select("user_id", "item_id", "timestamp")
    if chosen.is_empty() and not log.is_empty():
        raise RefusedError(f"{source.name}: none of {log.height} ratings is {min_rating} or more; lower --min-rating")
    dropped = {} if min_rating is None else {"interactions_below_min_rating": log.height - chosen.height}
    return chosen, dropped


def _refuse_two_roles(source: Source, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise RefusedError(
                f"{source.name}: the column {name!r} is named for two things; user, item, time and rating are columns "
                "of their own"
            )


def id_checks(column: str) -> list[Check]:
    """Ids are there, and hold no tab, line end or other control character."""
    text = pl.col(column).cast(pl.String)
    return [
        Check(text.is_null() | (text.str.strip_chars() == ""), column, "is empty; every record needs one"),
        Check(text.str.contains(r"[\x00-\x1f]").fill_null(False), column, "holds a tab or line end; no id may"),
    ]


def refuse_float_ids(source: Source, frame: pl.LazyFrame, columns: Sequence[str]) -> None:
    """Ids that went through a table with gaps have become 7.0; they would match nothing."""
    schema = schema_of(source, frame)
    for column in columns:
        if schema[column].is_float():
            raise RefusedError(f"{source.name}: the ids in {column!r} are {schema[column]}; cast them to whole numbers")


def refuse_faults(source: Source, names: Sequence[str], table: pl.DataFrame, checks: Sequence[Check]) -> None:
    """Raise `RefusedError` for the first record of `table` that its column `fault` marks."""
    row = table.lazy().filter("fault").select(pl.col(ROW).min()).collect().item()
    if row is None:
        return
    record = collect(source, source.scan(names).filter(pl.col(ROW) == row))
    for check in checks:
        if record.select(check.fault).item():
            value = record[check.column][0]
            raise RefusedError(f"{source.name}, {source.line(row)}: the {check.column} {value!r:.60} {check.says}")
    raise AssertionError("a record marked as faulty meets none of the conditions")


def _time_check(column: str, time: pl.Expr, units: Sequence[Unit]) -> Check:
    if not units:
        says = "is no whole number from 0 up; give integers (in any unit) or dates such as 2024-01-31 18:30:00"
    else:
        named = " or ".join(unit.says for unit in units)
        says = f"is no time between 1990 and 2100 {named}; correct or drop it"
    return Check(time.is_null() | ~in_range(time, units), column, says)
