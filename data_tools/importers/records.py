"""What an importer makes of its sources: a log and a catalogue in our words, every record checked, pictures named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from data_tools import import_report
from data_tools.ids import REPAIRS, id_faults, repaired, repairs_of
from data_tools.importers.request import ImportOptions
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
    report: Sequence[pl.DataFrame] = ()
    """The rows left out, as `import_report` lists them."""


@dataclass(frozen=True)
class Table:
    """A source as read."""

    rows: pl.DataFrame
    dropped: dict[str, int]
    report: pl.DataFrame


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


def read_log(source: Source, columns: LogColumns, options: ImportOptions, *, units: Sequence[Unit] = ()) -> Table:
    """`user_id`, `item_id`, `timestamp` of every record that `options` do not leave out.

    `units` are those that the format allows for times that are numbers; empty: any.
    Raises `RefusedError` with file, line and remedy at the first record that cannot be used.
    """
    names = [columns.user_id, columns.item_id, columns.timestamp]
    if options.min_rating is not None:
        assert columns.rating is not None, "a bound on ratings needs their column"
        names.append(columns.rating)
    _refuse_two_roles(source, names)
    require(source, names)
    frame = source.scan(names)
    user_id, item_id = (_id(source, frame, name, options) for name in names[:2])
    time = read_times(source, frame, columns.timestamp, units=units, time_format=options.time_format)
    kept = pl.lit(True)
    checks = [*_id_checks(columns.user_id, user_id), *_id_checks(columns.item_id, item_id)]
    checks.append(_Check(time.fault, columns.timestamp, time.says))
    if options.min_rating is not None and columns.rating is not None:
        rating = pl.col(columns.rating).cast(pl.Float64, strict=False)
        checks.append(_Check(rating.is_null() | rating.is_nan(), columns.rating, "is no number; correct or drop it"))
        kept = rating >= options.min_rating
    skipped = _without_id([user_id, item_id]) if options.skip_without_id else pl.lit(False)
    fault = ~skipped & pl.any_horizontal([check.fault for check in checks])
    ids = {"user_id": user_id, "item_id": item_id}
    log = collect(source, frame.select(ROW, **ids, timestamp=time.value, kept=kept, skipped=skipped, fault=fault))
    _refuse_faults(source, names, log, checks)
    log, without = _skip(log, "interactions", column="user_id")
    refuse_mixed(source, log, columns.timestamp)
    chosen = log.filter("kept").select("user_id", "item_id", "timestamp")
    if chosen.is_empty() and not log.is_empty():
        lowest = f"{log.height} ratings is {options.min_rating} or more; lower --min-rating"
        raise RefusedError(f"{source.name}: none of {lowest}")
    dropped = {} if options.min_rating is None else {"interactions_below_min_rating": log.height - chosen.height}
    if options.skip_without_id:
        dropped["interactions_without_id"] = without.height
    return Table(chosen, dropped, without)


def records_of(catalogue: Table, log: Table) -> Records:
    """Both tables, with what was left out of each."""
    return Records(catalogue.rows, log.rows, catalogue.dropped | log.dropped, report=[catalogue.report, log.report])


def _refuse_two_roles(source: Source, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise RefusedError(
                f"{source.name}: the column {name!r} is named for two things; user, item, time and rating are columns "
                "of their own"
            )


def read_catalogue(
    source: Source, columns: Mapping[str, str], options: ImportOptions, *, only: pl.Series | None = None
) -> Table:
    """The columns of `source` under their new names (new name → name there), as strings, with the source line.

    `only` keeps the items whose ids it holds, or would hold were they not damaged.
    Raises `RefusedError` with file, line and remedy at the first record without a usable id.
    """
    names = list(dict.fromkeys(columns.values()))
    name_of_id = columns["item_id"]
    require(source, names)
    frame = source.scan(names)
    schema = schema_of(source, frame)
    item_id = _id(source, frame, name_of_id, options)
    texts = {new: text_column(source, name, schema[name]) for new, name in columns.items() if new != "item_id"}
    checks = _id_checks(name_of_id, item_id)
    skipped = _without_id([item_id]) if options.skip_without_id else pl.lit(False)
    fault = ~skipped & pl.any_horizontal([check.fault for check in checks])
    wanted = frame.select(ROW, item_id=item_id, **texts, skipped=skipped, fault=fault)
    if only is not None:
        keys = only.to_frame("id").select(repaired(pl.col("id"), REPAIRS)).to_series().unique()  # damage is named later
        named = repaired(pl.col("item_id"), REPAIRS).is_in(keys.implode())
        wanted = wanted.filter(pl.col("fault") | pl.col("skipped") | named)
    table = collect(source, wanted)
    _refuse_faults(source, names, table, checks)
    table, without = _skip(table, "items", column="item_id")
    rows = table.with_columns(_lines(source, table).alias(SOURCE_LINE)).drop(ROW, "fault")
    return Table(rows, {"items_without_id": without.height} if options.skip_without_id else {}, without)


def _id(source: Source, frame: pl.LazyFrame, column: str, options: ImportOptions) -> pl.Expr:
    kind = schema_of(source, frame)[column]
    return id_column(source, column, kind, repaired="integer" in repairs_of(options.ids))


def _without_id(ids: Sequence[pl.Expr]) -> pl.Expr:
    return pl.any_horizontal([found.fault for text in ids for found in id_faults(text)[:2]])


def _skip(table: pl.DataFrame, what: str, *, column: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The records that have ids, and those without, as `import_report` lists them."""
    without = table.filter("skipped")
    listed = import_report.reported(
        what, ((row + 1, text or "", "no id") for row, text in without.select(ROW, column).iter_rows())
    )
    return (table.filter(~pl.col("skipped")) if without.height else table).drop("skipped"), listed


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
