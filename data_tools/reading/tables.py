"""Tables with types: Parquet (a file, or a folder of parts), Feather, Excel – whatever the name of the file says."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data_tools.reading.containers import EXCEL, kind_of
from data_tools.reading.sources import ROW, Source, collect, first_line, schema_of
from iisan_core.errors import RefusedError

PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class TableSource:
    """A Parquet file, or a table in memory, as a source; its rows count from 1 in messages."""

    name: str
    frame: pl.LazyFrame

    def columns(self) -> list[str]:
        """Names of the columns."""
        return schema_of(self, self.frame).names()

    def scan(self, columns: Sequence[str]) -> pl.LazyFrame:
        """These columns, with the types that the table has, but bytes and categories as text."""
        schema = schema_of(self, self.frame)
        return self.frame.select(_plain(name, schema[name]) for name in columns).with_row_index(ROW)

    def line(self, row: int) -> str:
        """A table has rows, not lines."""
        return f"row {row + 1}"

    def hint(self, absent: Sequence[str]) -> str:
        """Names that differ in case only."""
        same = {name.casefold().strip(): name for name in self.columns()}
        near = [f"{name!r} is {same[name.casefold()]!r}" for name in absent if name.casefold() in same]
        return "check the names of the columns" + (f": here {', '.join(near)}" if near else "")

    def refusal(self, error: Exception) -> RefusedError:
        """A table that polars cannot read is damaged or of another format."""
        return RefusedError(f"{self.name} cannot be read as a table ({first_line(error)}); write or download it again")


def open_table(path: Path, *, what: str) -> TableSource | None:
    """The table in a file that is Parquet, Feather or Excel by its bytes, or in a folder of Parquet parts.

    None for a file of another kind that does not say by its name to be Parquet.
    Raises `RefusedError` if it cannot be read, or there is none.
    """
    if path.is_dir():
        return _parts(path, what=what)
    kind = kind_of(path, what=what)
    if kind == "Parquet":
        return TableSource(str(path), pl.scan_parquet(path, glob=False))
    if kind == "Feather":
        return TableSource(str(path), pl.scan_ipc(path, glob=False))
    if kind == EXCEL:
        return _workbook(path)
    if path.suffix.lower() in PARQUET:
        raise RefusedError(
            f"{path} cannot be read as a table (it is no Parquet file but {kind}, though its name says so); "
            "write or download it again, or give it its right ending"
        )
    return None


def _parts(folder: Path, *, what: str) -> TableSource:
    """A folder of Parquet files as one table, in the order of their names."""
    parts = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PARQUET and path.name[0] not in "._")
    if not parts:
        raise RefusedError(f"{folder} is a folder without Parquet files; name the file of the {what}")
    return TableSource(str(folder), pl.scan_parquet(parts, glob=False))


def _workbook(path: Path) -> TableSource:
    """The first sheet of an Excel workbook."""
    if importlib.util.find_spec("fastexcel") is None:
        raise RefusedError(
            f'{path} is {EXCEL}; save the sheet as CSV (UTF-8), or pip install "iisan-workbench[excel]" to read it'
        )
    try:
        return TableSource(str(path), pl.read_excel(path).lazy())
    except Exception as error:  # of the library that reads workbooks, which has many
        raise RefusedError(
            f"{path} is {EXCEL} that cannot be read ({first_line(error)}); save the sheet as CSV (UTF-8)"
        ) from None


def one_row_an_event(table: TableSource, *, user: str, item: str, time: str) -> TableSource:
    """A table with one row a user, whose items (and times, if there are any) are lists, with one row an item.

    Without a column `time` the position in the list, from 0, becomes the time.
    Raises `RefusedError` if such a list without times is not all that a user has.
    """
    schema = schema_of(table, table.frame)
    if not isinstance(schema.get(item), pl.List):
        return table
    lists = [name for name in (item, time) if isinstance(schema.get(name), pl.List)]
    frame = table.frame
    if time not in schema and user in schema:
        twice = collect(table, frame.select(user).filter(pl.col(user).is_duplicated()).head(1))
        if not twice.is_empty():
            raise RefusedError(
                f"{table.name}: the user {twice[user][0]!r} has several rows with lists of items, and no times; join "
                "them into one, oldest item first"
            )
        frame = frame.with_columns(pl.int_ranges(pl.col(item).list.len(), dtype=pl.Int64).alias(time))
        lists.append(time)
    some = frame.filter(pl.col(item).list.len() > 0)
    return TableSource(table.name, some.explode(lists))


def _plain(name: str, kind: pl.DataType) -> pl.Expr:
    """A column with bytes and categories as text."""
    if isinstance(kind, pl.Binary):
        return pl.col(name).cast(pl.String, strict=True)
    if isinstance(kind, pl.Categorical | pl.Enum):
        return pl.col(name).cast(pl.String)
    return pl.col(name)


def text_column(source: Source, name: str, kind: pl.DataType) -> pl.Expr:
    """A column of a catalogue as text: numbers as they are written, lists of texts joined by spaces.

    Raises `RefusedError` naming the column if its values have no text form.
    """
    column = pl.col(name)
    if isinstance(kind, pl.List | pl.Array) and not kind.inner.is_nested():
        parts = column.cast(pl.List(pl.String)).list.drop_nulls()
        return pl.when(parts.list.len() > 0).then(parts.list.join(" "))
    if kind.is_nested() or isinstance(kind, pl.Object):
        shown = f"{kind}"
        raise RefusedError(
            f"{source.name}: the column {name!r} is {shown:.60}, no text; name another, or write its text into a "
            "column of its own"
        )
    return column.cast(pl.String)


def id_column(source: Source, name: str, kind: pl.DataType, *, repaired: bool = False) -> pl.Expr:
    """A column of ids as text; `repaired`: whole numbers may stand there as 7.0.

    Raises `RefusedError` naming the column if its type is none of an id.
    """
    column = pl.col(name)
    if kind == pl.String or kind.is_integer() or kind == pl.Null:
        return column.cast(pl.String)
    if isinstance(kind, pl.Decimal) or kind.is_float():
        if isinstance(kind, pl.Decimal) and not kind.scale:
            return column.cast(pl.String)
        if not repaired:
            raise RefusedError(
                f"{source.name}: the ids in {name!r} are {kind}; cast them to whole numbers, or give --ids integer"
            )
        return column.cast(pl.String)
    raise RefusedError(f"{source.name}: the ids in {name!r} are {kind}; ids are texts or whole numbers")
