"""What an importer makes of its sources: a log and a catalogue in our words, every record checked, pictures named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from data_tools.ids import Repair, id_faults
from data_tools.reading.delimited import CsvSource
from data_tools.reading.sources import ROW, Source, collect, require, schema_of
from data_tools.reading.tables import id_column, text_column
from data_tools.writing import SOURCE_LINE
from data_tools.written_times import Unit, read_times, refuse_mixed
from iisan_core.errors import RefusedError


@dataclass(frozen=True)
class Records:
    """What was read of the sources of an import, as `write_dataset` takes it."""

    items: pl.DataFrame
    interactions: pl.DataFrame
    dropped: Mapping[str, int]
    """Rows left out, by reason."""
    images: Mapping[str, bytes] = field(default_factory=dict)
    """Pictures that lie beside the catalogue and are named there; used where the import was given none."""


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
    source: Source,
    columns: LogColumns,
    *,
    units: Sequence[Unit] = (),
    min_rating: float | None = None,
    time_format: str | None = None,
    repairs: Sequence[Repair] = (),
) -> tuple[pl.DataFrame, dict[str, int]]:
    """`user_id`, `item_id`, `timestamp` of every record rated at least `min_rating`, and what was dropped.

    `units` are those that the format allows for times that are numbers; empty: any. `time_format` is that of dates.
    Raises `RefusedError` with file, line and remedy at the first record that cannot be used.
    """
    names = [columns.user_id, columns.item_id, columns.timestamp]
    if min_rating is not None:
        assert columns.rating is not None, "a bound on ratings needs their column"
        names.append(columns.rating)
    _refuse_two_roles(source, names)
    require(source, names)
    frame = source.scan(names)
    schema = schema_of(source, frame)
    user_id, item_id = (id_column(source, name, schema[name], repaired=bool(repairs)) for name in names[:2])
    time = read_times(source, frame, columns.timestamp, units=units, time_format=time_format)
    kept = pl.lit(True)
    checks = [*_id_checks(columns.user_id, user_id), *_id_checks(columns.item_id, item_id)]
    checks.append(_Check(time.fault, columns.timestamp, time.says))
    if min_rating is not None and columns.rating is not None:
        rating = pl.col(columns.rating).cast(pl.Float64, strict=False)
        checks.append(_Check(rating.is_null() | rating.is_nan(), columns.rating, "is no number; correct or drop it"))
        kept = rating >= min_rating
    fault = pl.any_horizontal([check.fault for check in checks])
    log = collect(
        source, frame.select(ROW, user_id=user_id, item_id=item_id, timestamp=time.value, kept=kept, fault=fault)
    )
    _refuse_faults(source, names, log, checks)
    refuse_mixed(source, log, columns.timestamp)
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


def read_catalogue(
    source: Source, columns: Mapping[str, str], *, only: pl.Series | None = None, repairs: Sequence[Repair] = ()
) -> pl.DataFrame:
    """The columns of `source` under their new names (new name → name there), as strings, with the source line.

    `only` keeps the items whose ids it holds.
    Raises `RefusedError` with file, line and remedy at the first record without a usable id.
    """
    names = list(dict.fromkeys(columns.values()))
    name_of_id = columns["item_id"]
    require(source, names)
    frame = source.scan(names)
    schema = schema_of(source, frame)
    item_id = id_column(source, name_of_id, schema[name_of_id], repaired=bool(repairs))
    texts = {new: text_column(source, name, schema[name]) for new, name in columns.items() if new != "item_id"}
    checks = _id_checks(name_of_id, item_id)
    wanted = frame.select(ROW, item_id=item_id, **texts, fault=pl.any_horizontal([check.fault for check in checks]))
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


def _id_checks(column: str, text: pl.Expr) -> list[_Check]:
    return [_Check(found.fault, column, found.says) for found in id_faults(text)]


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
