"""Times of interactions as integers: what a column may hold, and what is too early or too late to be true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from data_tools.importers.sources import ROW, Source, collect, schema_of
from iisan_core.errors import RefusedError

EARLIEST, LATEST = 631_152_000, 4_102_444_800
"""1990-01-01 and 2100-01-01, in seconds since 1970: no log of the kinds read here lies outside."""
DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.fZ",
)


@dataclass(frozen=True)
class Unit:
    """A unit of time since 1970."""

    says: str
    """The unit in messages, after `between 1990 and 2100`."""
    per_second: int


SECONDS = Unit("in seconds since 1970", 1)
MILLISECONDS = Unit("in milliseconds since 1970", 1000)
DATES = Unit("as a date such as 2024-01-31 18:30:00", 1000)
"""Dates become milliseconds since 1970, UTC."""


def in_range(time: pl.Expr, units: Sequence[Unit]) -> pl.Expr:
    """Whether a time lies between 1990 and 2100 in one of `units`; without units: whether it is not negative."""
    if not units:
        return time >= 0
    fits = [time.is_between(EARLIEST * unit.per_second, LATEST * unit.per_second) for unit in units]
    return pl.any_horizontal(fits)


def time_of(source: Source, frame: pl.LazyFrame, column: str, *, dates: bool) -> pl.Expr:
    """The column as i64, null where it cannot be understood; dates become milliseconds since 1970 (UTC).

    Raises `RefusedError` if the column has a type that is no time.
    """
    kind = schema_of(source, frame)[column]
    value = pl.col(column)
    if kind.is_integer():
        return value.cast(pl.Int64, strict=False)
    if kind.is_float():
        return _whole(value)
    if dates and kind in (pl.Date, pl.Datetime):
        return value.dt.epoch("ms")
    if kind != pl.String:
        raise RefusedError(f"{source.name}: the column {column!r} is {kind}; times are whole numbers or dates")
    if dates and not _looks_like_number(source, frame, column):
        parsed = [value.str.to_datetime(f, strict=False, time_unit="ms") for f in DATE_FORMATS]
        return pl.coalesce(parsed).dt.epoch("ms")
    return pl.coalesce(value.cast(pl.Int64, strict=False), _whole(value.cast(pl.Float64, strict=False)))


def date_unit(source: Source, frame: pl.LazyFrame, column: str) -> tuple[Unit, ...]:
    """`DATES` if the column holds dates, nothing if it holds numbers of an unknown unit."""
    kind = schema_of(source, frame)[column]
    if kind in (pl.Date, pl.Datetime) or (kind == pl.String and not _looks_like_number(source, frame, column)):
        return (DATES,)
    return ()


def _whole(value: pl.Expr) -> pl.Expr:
    return pl.when(value == value.floor()).then(value).cast(pl.Int64, strict=False)


def _looks_like_number(source: Source, frame: pl.LazyFrame, column: str) -> bool:
    first = collect(source, frame.select(ROW, column).drop_nulls().head(1))[column]
    return first.is_empty() or first.cast(pl.Float64, strict=False).null_count() == 0
