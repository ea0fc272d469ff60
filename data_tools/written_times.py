"""How times are written in a column, and the order-keeping whole numbers that they become.

Whole numbers stay what they are, in whatever unit. Fractions and dates become milliseconds since 1970 (UTC), or, where
that would lose order, micro- or nanoseconds. A column is written in one way: what mixes units, or may be read in two
ways, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import polars as pl

from data_tools.reading.sources import ROW, Source, collect, schema_of
from data_tools.times import EARLIEST, LATEST, UNITS, Tick
from iisan_core.errors import RefusedError


@dataclass(frozen=True)
class Unit:
    """A unit of time since 1970."""

    says: str
    """The unit in messages, after `between 1990 and 2100`."""
    per_second: int


SECONDS = Unit("in seconds since 1970", UNITS["s"])
MILLISECONDS = Unit("in milliseconds since 1970", UNITS["ms"])
MICROSECONDS = Unit("in microseconds since 1970", UNITS["us"])
NANOSECONDS = Unit("in nanoseconds since 1970", UNITS["ns"])
KNOWN = (SECONDS, MILLISECONDS, MICROSECONDS, NANOSECONDS)
NO_DATE = "is no time between 1990 and 2100 as a date such as 2024-01-31 18:30:00; correct or drop it"
ANY_NUMBER = "is no whole number from 0 up; give integers (in any unit) or dates such as 2024-01-31 18:30:00"
SAMPLE = 2000
"""Values at the head of a column that tell how its dates are written."""
COARSEST = 60
"""Seconds that numbers such as 1.6e+09 may leave open; coarser ones put nothing in order."""
Ticks: TypeAlias = Callable[[int], pl.Expr]
NUMBER = r"^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$"
OF_DAY = ("", " %H:%M", " %H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
WORDS = ("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y")
ISO = (*(f"%Y-%m-%d{time}" for time in OF_DAY[:3]), *(f"%Y-%m-%d{time}%z" for time in OF_DAY[1:3]))
"""Dates whose year comes first, after `_tidy`; one column may have all of these."""
OTHERS = (
    "%a %b %d %H:%M:%S %z %Y",
    "%a, %d %b %Y %H:%M:%S %z",
    *(f"{day}{time}" for day in WORDS for time in OF_DAY),
)
"""Other ways to write dates that leave no doubt."""


@dataclass(frozen=True)
class WrittenTimes:
    """A column of times, and what it becomes."""

    value: pl.Expr
    """As i64; null where it cannot be understood."""
    fault: pl.Expr
    """Where it is no time."""
    says: str
    """What is wrong and what to do, after `the <column> '<value>' `."""


def read_times(
    source: Source, frame: pl.LazyFrame, column: str, *, units: Sequence[Unit], time_format: str | None = None
) -> WrittenTimes:
    """How the times of `column` in a query over `source` are written.

    `units` are those that the format allows for numbers; empty: any. `time_format` is that of dates, as of `strftime`.

    Raises:
        RefusedError: the column has a type that is no time, or its times are too coarse, or may be read in two ways.
    """
    kind = schema_of(source, frame)[column]
    value = pl.col(column)
    if kind == pl.String:
        return _written(source, frame, column, units=units, time_format=time_format)
    if kind.is_integer():
        return _numbers(value.cast(pl.Int64, strict=False), units)
    if isinstance(kind, pl.Decimal):
        exact = value.cast(pl.Decimal(38, 9))
        return _fractions(source, frame, value.cast(pl.Float64), partial(_exact, exact), units)
    if kind == pl.Float32:
        _refuse_single_precision(source, frame, column)
    if kind.is_float():
        number = value.cast(pl.Float64)
        return _fractions(source, frame, number, partial(_rounded, number), units)
    if kind in (pl.Date, pl.Datetime):
        moment = value.cast(pl.Datetime("ms")) if kind == pl.Date else value
        return _dates(_finest(source, frame, moment), moment)
    raise RefusedError(f"{source.name}: the column {column!r} is {kind}; times are whole numbers or dates")


def refuse_mixed(source: Source, log: pl.DataFrame, column: str) -> None:
    """Raise `RefusedError` naming two records of `log` whose numbers are of different units: no order is in them."""
    number = pl.col("timestamp")
    unit = pl.lit(-1)
    for place, known in enumerate(KNOWN):
        fits = number.is_between(EARLIEST * known.per_second, LATEST * known.per_second)
        unit = pl.when(fits).then(place).otherwise(unit)
    units = log.lazy().select(ROW, number, unit=unit)
    firsts = units.group_by("unit").agg(pl.all().sort_by(ROW).first()).collect(engine="streaming").sort(ROW)
    if firsts.height < 2:
        return
    (_, row, first), (_, other_row, other) = firsts.select("unit", ROW, "timestamp").head(2).rows()
    named = [KNOWN[place].says if place >= 0 else "no time since 1990 in any unit" for place in firsts["unit"][:2]]
    raise RefusedError(
        f"{source.name}: {source.line(row)} has the {column} {first}, {named[0]}, {source.line(other_row)} has "
        f"{other}, {named[1]}; such times have no order, so write all in one unit and leave out what is missing"
    )


def _numbers(value: pl.Expr, units: Sequence[Unit]) -> WrittenTimes:
    if not units:
        return WrittenTimes(value, value.is_null() | (value < 0), ANY_NUMBER)
    fits = [value.is_between(EARLIEST * unit.per_second, LATEST * unit.per_second) for unit in units]
    named = " or ".join(unit.says for unit in units)
    says = f"is no time between 1990 and 2100 {named}; correct or drop it"
    return WrittenTimes(value, value.is_null() | ~pl.any_horizontal(fits), says)


def _fractions(
    source: Source, frame: pl.LazyFrame, number: pl.Expr, ticks: Ticks, units: Sequence[Unit]
) -> WrittenTimes:
    """Numbers of which some may have a fraction: of seconds, or of milliseconds; of other numbers it means nothing.

    `number` is float; `ticks` makes nanoseconds of it, given how many of its units are a second.
    """
    broken = frame.select(number=number.filter(number != number.floor()))
    least, most = collect(source, broken.select(least=pl.col("number").min(), most=pl.col("number").max())).row(0)
    for unit in (SECONDS, MILLISECONDS):
        per = unit.per_second
        if least is not None and EARLIEST * per <= least <= most <= LATEST * per and (not units or unit in units):
            inside = number.is_between(EARLIEST * per, LATEST * per)  # what is not would overflow
            moment = pl.when(inside).then(ticks(per)).cast(pl.Datetime("ns"))
            return _dates(_finest(source, frame, moment), moment)
    return _numbers(_whole(number), units)


def _rounded(number: pl.Expr, per_second: int) -> pl.Expr:
    """Floats hold a time of today to a microsecond."""
    return (number * (10**6 / per_second)).round().cast(pl.Int64, strict=False) * 10**3


def _exact(number: pl.Expr, per_second: int) -> pl.Expr:
    """Decimals hold all that was written."""
    return (number * (10**9 // per_second)).cast(pl.Int64, strict=False)


def _whole(value: pl.Expr) -> pl.Expr:
    return pl.when(value == value.floor()).then(value).cast(pl.Int64, strict=False)


def _finest(source: Source, frame: pl.LazyFrame, moment: pl.Expr) -> Tick:
    """The coarsest of ms, us and ns that holds all times."""
    rest = moment.dt.nanosecond()
    ms, us = collect(source, frame.select(ms=(rest % 10**6 == 0).all(), us=(rest % 10**3 == 0).all())).row(0)
    return "ms" if ms else "us" if us else "ns"


def _dates(unit: Tick, moment: pl.Expr) -> WrittenTimes:
    """Moments as numbers of a unit; far from today they would not fit into one."""
    inside = moment.dt.epoch("ms").is_between(EARLIEST * 1000, LATEST * 1000).fill_null(False)
    return WrittenTimes(pl.when(inside).then(moment.dt.epoch(unit)), ~inside, NO_DATE)


def _refuse_single_precision(source: Source, frame: pl.LazyFrame, column: str) -> None:
    largest = collect(source, frame.select(pl.col(column).abs().max()))[column][0]
    if largest is not None and largest >= 2**24:
        raise RefusedError(
            f"{source.name}: the column {column!r} is Float32, which holds times only to two minutes, so their order "
            "is lost; write them as whole numbers"
        )


def _written(
    source: Source, frame: pl.LazyFrame, column: str, *, units: Sequence[Unit], time_format: str | None
) -> WrittenTimes:
    """Times in a column of text."""
    text = pl.col(column).str.strip_chars()
    if time_format is not None:
        return _in_formats(source, frame, text, [time_format])
    head = collect(source, frame.select(ROW, value=text).drop_nulls().filter(pl.col("value") != "").head(SAMPLE))
    if head.is_empty() or head["value"].str.contains(NUMBER)[0]:
        return _written_numbers(source, frame, text, units)
    sample = head.select(_tidy(pl.col("value")))["value"]
    tidy = text if sample.equals(head["value"]) else _tidy(text)
    if _parsed(sample.head(1), ISO).count():
        formats: Sequence[str] = ISO
    else:
        formats = [*OTHERS, *_numeric_formats(source, frame, column, tidy, sample)]
    return _in_formats(source, frame, tidy, [way for way in formats if _parsed(sample, [way]).count()] or ISO[:1])


def _written_numbers(source: Source, frame: pl.LazyFrame, text: pl.Expr, units: Sequence[Unit]) -> WrittenTimes:
    if not _any(source, frame, text.str.contains("[.eE]")):
        return _numbers(text.cast(pl.Int64, strict=False), units)
    _refuse_coarse(source, frame, text)
    number = text.cast(pl.Float64, strict=False)
    if not _any(source, frame, number != number.floor()):
        return _numbers(pl.coalesce(text.cast(pl.Int64, strict=False), _whole(number)), units)
    exact = pl.coalesce(text.str.to_decimal(scale=9), number.cast(pl.Decimal(38, 9), strict=False))
    return _fractions(source, frame, number, partial(_exact, exact), units)


def _any(source: Source, frame: pl.LazyFrame, condition: pl.Expr) -> bool:
    return bool(collect(source, frame.select(condition.any())).item())


def _refuse_coarse(source: Source, frame: pl.LazyFrame, text: pl.Expr) -> None:
    """Raise `RefusedError` if numbers with exponents have too few digits to say when something was."""
    exponent = text.str.extract(r"[eE]([+-]?\d+)$").cast(pl.Float64, strict=False)
    digits = text.str.extract(r"\.(\d*)[eE]").str.len_bytes().fill_null(0).cast(pl.Float64)
    left_open = pl.lit(10.0).pow(exponent - digits)
    finest = collect(source, frame.select(finest=left_open.min()))["finest"][0]
    if finest is not None and finest > COARSEST:
        row, value = collect(source, frame.select(ROW, text).drop_nulls().head(1)).row(0)
        raise RefusedError(
            f"{source.name}, {source.line(row)}: times such as {value!r} leave {finest:,.0f} seconds open, so their "
            "order is lost; write them as whole numbers"
        )


def _tidy(text: pl.Expr) -> pl.Expr:
    """Dates with one kind of separator, one kind of offset."""
    text = text.str.replace(r"^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ]+|$)", "$1-$2-$3 ").str.strip_chars_end()
    text = text.str.replace(r"(:\d{2}),(\d)", "$1.$2").str.replace(r"(\d|[APap][Mm])\s*(?:Z|z|UTC|GMT)$", "$1+0000")
    return text.str.replace(r"(:\d{2}(?:\.\d+)?)\s*([+-]\d{2}):?(\d{2})?$", "$1$2$3").str.replace(
        r"(:\d{2}(?:\.\d+)?[+-]\d{2})$", "${1}00"
    )


def _numeric_formats(source: Source, frame: pl.LazyFrame, column: str, text: pl.Expr, sample: pl.Series) -> list[str]:
    """Formats of dates such as 13.09.2020, where days and months can be told from each other by the whole column."""
    pattern = r"^(\d{1,2})([-/.])(\d{1,2})[-/.]\d{4}\b"
    if not sample.str.contains(pattern).any():
        return []
    first, second = (text.str.extract(pattern, group).cast(pl.Int64, strict=False).max() for group in (1, 3))
    largest = collect(source, frame.select(first=first, second=second)).row(0)
    if max(largest) <= 12:
        shown = sample.filter(sample.str.contains(pattern))[0]
        raise RefusedError(
            f"{source.name}: in {column!r}, dates such as {shown!r} may begin with the day or with the month; say "
            "which by --time-format '%d/%m/%Y' or '%m/%d/%Y', written as they are"
        )
    between = sample.str.extract(pattern, 2).drop_nulls()[0]
    day = f"%d{between}%m{between}%Y" if largest[0] > 12 else f"%m{between}%d{between}%Y"
    return [day + time for time in OF_DAY]


def _in_formats(source: Source, frame: pl.LazyFrame, text: pl.Expr, formats: Sequence[str]) -> WrittenTimes:
    """Dates in any of these formats; those without an offset are UTC."""
    _refuse_half(source, frame, text, formats)
    moment = pl.coalesce([_moment(text, way) for way in formats])
    fine = any("%.f" in way for way in formats)
    if not fine or not _any(source, frame, text.str.contains(r"\.\d{4}")):
        return _dates("ms", moment)
    if not _any(source, frame, text.str.contains(r"\.\d{7}")):
        return _dates(_finest(source, frame, moment), moment)
    inside = moment.dt.epoch("ms").is_between(EARLIEST * 1000, LATEST * 1000)  # nanoseconds hold few centuries
    moment = pl.when(inside).then(pl.coalesce([_moment(text, way, unit="ns") for way in formats]))
    return _dates(_finest(source, frame, moment), moment)


def _moment(text: pl.Expr, way: str, *, unit: Literal["us", "ns"] = "us") -> pl.Expr:
    """Dates in one format as UTC; null where they are written otherwise."""
    try:
        moment = text.str.to_datetime(way, strict=False, time_unit=unit)
        return moment.dt.replace_time_zone(None) if "%z" in way else moment
    except pl.exceptions.PolarsError as error:
        raise RefusedError(
            f"--time-format {way!r}: {error}; write it as of strftime, such as '%d.%m.%Y %H:%M'"
        ) from None


def _parsed(sample: pl.Series, formats: Sequence[str]) -> pl.Series:
    return sample.to_frame("text").select(pl.coalesce([_moment(pl.col("text"), way) for way in formats])).to_series()


def _refuse_half(source: Source, frame: pl.LazyFrame, text: pl.Expr, formats: Sequence[str]) -> None:
    """What stands on some lines only leaves the order of the others open: an offset from UTC, a time of day."""
    zoned, naive = ([way for way in formats if ("%z" in way) == there] for there in (True, False))
    timed, days = ([way for way in formats if ("%H" in way or "%I" in way) == there] for there in (True, False))
    away = text.str.contains(r":\d{2}(?:\.\d+)?[+-]\d{4}$") & ~text.str.ends_with("+0000")
    for having, lacking, some, what in (
        (zoned, naive, away, "an offset from UTC"),
        (timed, days, pl.lit(True), "a time of day"),
    ):
        if not having or not lacking:
            continue
        with_it, without = (
            pl.coalesce([_moment(text, way) for way in ways]).is_not_null() for ways in (having, lacking)
        )
        both = frame.select(having=pl.col(ROW).filter(with_it & some).min(), lacking=pl.col(ROW).filter(without).min())
        rows = collect(source, both).row(0)
        if None not in rows:
            raise RefusedError(
                f"{source.name}: the time on {source.line(rows[0])} has {what}, that on {source.line(rows[1])} has "
                "none, so their order is open; write all of them alike"
            )
