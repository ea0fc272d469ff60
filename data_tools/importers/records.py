"""What an importer makes of its sources: a log and a catalogue in our words, every record checked, pictures named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import polars as pl

from data_tools.images import open_images
from data_tools.importers.formats import CsvSource
from data_tools.importers.sources import ROW, Source, collect, require, schema_of
from data_tools.times import EARLIEST, LATEST
from data_tools.writing import SOURCE_LINE
from iisan_core.errors import RefusedError

DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.fZ",
)


@dataclass(frozen=True)
class Records:
    """What was read of the sources of an import, as `write_dataset` takes it."""

    items: pl.DataFrame
    interactions: pl.DataFrame
    dropped: Mapping[str, int]
    """Rows left out, by reason."""
    images: Mapping[str, bytes] = field(default_factory=dict)
    """Pictures that lie beside the catalogue and are named there; used where the import was given none."""


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


@dataclass(frozen=True, kw_only=True)
class LogColumns:
    """What the columns of the log are called in the source."""

    user_id: str
    item_id: str
    timestamp: str
    rating: str | None = None


@dataclass(frozen=True)
class _Check:
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
    time, units = _time_of(source, frame, columns.timestamp, units)
    kept = pl.lit(True)
    checks = [*_id_checks(columns.user_id), *_id_checks(columns.item_id), _time_check(columns.timestamp, time, units)]
    if min_rating is not None and columns.rating is not None:
        rating = pl.col(columns.rating).cast(pl.Float64, strict=False)
        checks.append(_Check(rating.is_null() | rating.is_nan(), columns.rating, "is no number; correct or drop it"))
        kept = rating >= min_rating
    _refuse_float_ids(source, frame, names[:2])
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
    _refuse_faults(source, names, log, checks)
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


def _time_check(column: str, time: pl.Expr, units: Sequence[Unit]) -> _Check:
    if not units:
        says = "is no whole number from 0 up; give integers (in any unit) or dates such as 2024-01-31 18:30:00"
    else:
        named = " or ".join(unit.says for unit in units)
        says = f"is no time between 1990 and 2100 {named}; correct or drop it"
    return _Check(time.is_null() | ~_in_range(time, units), column, says)


def _in_range(time: pl.Expr, units: Sequence[Unit]) -> pl.Expr:
    """Whether a time lies between 1990 and 2100 in one of `units`; without units: whether it is not negative."""
    if not units:
        return time >= 0
    fits = [time.is_between(EARLIEST * unit.per_second, LATEST * unit.per_second) for unit in units]
    return pl.any_horizontal(fits)


def _time_of(source: Source, frame: pl.LazyFrame, column: str, units: Sequence[Unit]) -> tuple[pl.Expr, Sequence[Unit]]:
    """The column as i64, null where it cannot be understood, and its units; without `units` it may hold dates.

    Raises `RefusedError` if the column has a type that is no time.
    """
    kind = schema_of(source, frame)[column]
    value = pl.col(column)
    if kind.is_integer():
        return value.cast(pl.Int64, strict=False), units
    if kind.is_float():
        return _whole(value), units
    if not units and kind in (pl.Date, pl.Datetime):
        return value.dt.epoch("ms"), [DATES]
    if kind != pl.String:
        raise RefusedError(f"{source.name}: the column {column!r} is {kind}; times are whole numbers or dates")
    if not units and not _looks_like_number(source, frame, column):
        parsed = [value.str.to_datetime(f, strict=False, time_unit="ms") for f in DATE_FORMATS]
        return pl.coalesce(parsed).dt.epoch("ms"), [DATES]
    return pl.coalesce(value.cast(pl.Int64, strict=False), _whole(value.cast(pl.Float64, strict=False))), units


def _whole(value: pl.Expr) -> pl.Expr:
    return pl.when(value == value.floor()).then(value).cast(pl.Int64, strict=False)


def _looks_like_number(source: Source, frame: pl.LazyFrame, column: str) -> bool:
    first = collect(source, frame.select(ROW, column).drop_nulls().head(1))[column]
    return first.is_empty() or first.cast(pl.Float64, strict=False).null_count() == 0


def read_catalogue(source: Source, columns: Mapping[str, str], *, only: pl.Series | None = None) -> pl.DataFrame:
    """The columns of `source` under their new names (new name → name there), as strings, with the source line.

    `only` keeps the items whose ids it holds.
    Raises `RefusedError` with file, line and remedy at the first record without a usable id.
    """
    names = list(dict.fromkeys(columns.values()))
    item_id = columns["item_id"]
    require(source, names)
    frame = source.scan(names)
    _refuse_float_ids(source, frame, [item_id])
    checks = _id_checks(item_id)
    wanted = frame.select(
        ROW,
        *(pl.col(name).cast(pl.String).alias(new) for new, name in columns.items()),
        fault=pl.any_horizontal([check.fault for check in checks]),
    )
    if only is not None:
        wanted = wanted.filter(pl.col("fault") | pl.col("item_id").is_in(only.implode()))
    table = collect(source, wanted)
    _refuse_faults(source, names, table, checks)
    return table.with_columns(_lines(source, table).alias(SOURCE_LINE)).drop(ROW, "fault")


def _lines(source: Source, table: pl.DataFrame) -> pl.Series:
    """Line of every record: needed, and therefore counted, only where two records share an id."""
    rows = table[ROW].cast(pl.Int64)
    if isinstance(source, CsvSource) and table["item_id"].is_duplicated().any():
        return pl.Series(source.line_numbers(), dtype=pl.Int64).gather(rows)
    return rows + 1


def _id_checks(column: str) -> list[_Check]:
    """Ids are there, and hold no tab, line end or other control character."""
    text = pl.col(column).cast(pl.String)
    return [
        _Check(text.is_null() | (text.str.strip_chars() == ""), column, "is empty; every record needs one"),
        _Check(text.str.contains(r"[\x00-\x1f]").fill_null(False), column, "holds a tab or line end; no id may"),
    ]


def _refuse_float_ids(source: Source, frame: pl.LazyFrame, columns: Sequence[str]) -> None:
    """Ids that went through a table with gaps have become 7.0; they would match nothing."""
    schema = schema_of(source, frame)
    for column in columns:
        if schema[column].is_float():
            raise RefusedError(f"{source.name}: the ids in {column!r} are {schema[column]}; cast them to whole numbers")


def _refuse_faults(source: Source, names: Sequence[str], table: pl.DataFrame, checks: Sequence[_Check]) -> None:
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


def name_pictures(items: pl.DataFrame, pictures: Mapping[str, bytes]) -> pl.DataFrame:
    """Fill the column `image` with names in `pictures`: what it says, its last part, or the item's id.

    The last part, or the id, counts only where it names one picture alone: of several, none is guessed at.
    """
    if not pictures:
        return items
    if "image" in items.columns:
        by_file = _unambiguous((PurePosixPath(name).name, name) for name in pictures)
        named = [n if n in pictures else by_file.get(PurePosixPath(n or "").name, n) for n in items["image"]]
    else:
        by_id = _unambiguous((PurePosixPath(name).stem, name) for name in pictures)
        named = [by_id.get(item_id) for item_id in items["item_id"]]
    return items.with_columns(image=pl.Series(named, dtype=pl.String))


def _unambiguous(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    listed = list(pairs)
    times = Counter(short for short, _ in listed)
    return {short: name for short, name in listed if times[short] == 1}


def with_pictures(items: pl.DataFrame, images: Path | None) -> tuple[pl.DataFrame, Mapping[str, bytes]]:
    """The items with their pictures named, and the pictures of the folder or zip `images`."""
    if images is None:
        return items, {}
    pictures = open_images(images)
    return name_pictures(items, pictures), pictures
