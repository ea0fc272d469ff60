"""What the timestamps of a log mean: moments, or only an order."""

from __future__ import annotations

from typing import Literal, TypeAlias

import polars as pl

from iisan_core.errors import RefusedError

EARLIEST, LATEST = 631_152_000, 4_102_444_800
"""1990-01-01 and 2100-01-01, in seconds since 1970: no time of a log lies outside."""


Tick: TypeAlias = Literal["s", "ms", "us", "ns"]
UNITS: dict[Tick, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Unit of timestamps → how many are a second."""


def runs_newest_first(log: pl.DataFrame) -> bool:
    """Whether users' times, row by row as the log stands, fall and hardly ever rise."""
    step = pl.col("timestamp").diff().over("user_id")
    falls, rises = log.select(falls=(step < 0).sum(), rises=(step > 0).sum()).row(0)
    return bool(falls > 10 * rises)


def has_times(log: pl.DataFrame) -> bool:
    """Whether all timestamps are moments between 1990 and 2100, in seconds or finer units."""
    return unit_of(log["timestamp"]) is not None


def moments(log: pl.DataFrame) -> pl.Series:
    """The timestamps as moments (UTC); raises `RefusedError` if they are none."""
    unit = unit_of(log["timestamp"])
    if unit is None:
        raise RefusedError("these timestamps are an order, not times between 1990 and 2100; bring a log with times")
    return pl.from_epoch(log["timestamp"], time_unit=unit)


def unit_of(stamps: pl.Series) -> Tick | None:
    """The unit, told by size; None where some stamp fits none."""
    least, most = stamps.min(), stamps.max()
    if not isinstance(least, int) or not isinstance(most, int):
        return "s"  # of no stamps
    fits = (unit for unit, per_second in UNITS.items() if EARLIEST * per_second <= least <= most <= LATEST * per_second)
    return next(fits, None)
