"""What the timestamps of a log mean: moments, or only an order."""

from __future__ import annotations

from typing import Literal

import polars as pl

from iisan_core.errors import RefusedError

EARLIEST, LATEST = 631_152_000, 4_102_444_800
"""1990-01-01 and 2100-01-01, in seconds since 1970: no time of a log lies outside."""


def timestamps_are_positions(log: pl.DataFrame) -> bool:
    """Whether every user's timestamps are 0, 1, 2 …: the order is known, the time is not."""
    position = pl.int_range(pl.len(), dtype=pl.Int64).over("user_id")
    return bool(log.select((pl.col("timestamp") == position).all()).item())


def runs_newest_first(log: pl.DataFrame) -> bool:
    """Whether users' times, row by row as the log stands, fall and hardly ever rise."""
    step = pl.col("timestamp").diff().over("user_id")
    falls, rises = log.select(falls=(step < 0).sum(), rises=(step > 0).sum()).row(0)
    return bool(falls > 10 * rises)


def has_times(log: pl.DataFrame) -> bool:
    """Whether all timestamps are moments between 1990 and 2100, in seconds or in milliseconds."""
    return _unit(log["timestamp"]) is not None


def moments(log: pl.DataFrame) -> pl.Series:
    """The timestamps as moments (UTC); raises `RefusedError` if they are none."""
    unit = _unit(log["timestamp"])
    if unit is None:
        raise RefusedError("these timestamps are an order, not times between 1990 and 2100; bring a log with times")
    return pl.from_epoch(log["timestamp"], time_unit=unit)


def _unit(stamps: pl.Series) -> Literal["s", "ms"] | None:
    """`s` or `ms`, told apart by size; None where some stamp fits neither."""
    if stamps.is_between(EARLIEST, LATEST).all():
        return "s"
    return "ms" if stamps.is_between(EARLIEST * 1000, LATEST * 1000).all() else None
