"""Small files held in memory as lines: tab-separated ones without quotes, and MovieLens' `.dat`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from data_tools.reading.encodings import TextFile
from data_tools.reading.sources import ROW
from iisan_core.errors import RefusedError

_SEPARATED = {"\t": "tab-separated", "::": "`::`-separated", "|": "`|`-separated"}


def read_lines(path: Path, *, what: str, encoding: str | None = None, otherwise: str | None = None) -> pl.DataFrame:
    """All lines of a file of text that are not blank: `line` (counted from 1), `text` (no line end).

    `otherwise` is the encoding of a file that is not UTF-8.

    Raises:
        RefusedError: the file is absent, breaks off, is not UTF-8, or has no line; `what` names it in the message.
    """
    text = TextFile(path, what=what, encoding=encoding).text(otherwise=otherwise).encode()
    lines = pl.read_lines(io.BytesIO(text), name="text", row_index_name="line", row_index_offset=1)
    lines = lines.with_columns(pl.col("text").str.strip_suffix("\r"))
    lines = lines.filter(pl.col("text").str.strip_chars() != "")
    if lines.is_empty():
        raise RefusedError(f"{path} is empty; the {what} needs at least one line")
    return lines


def split_fields(
    lines: pl.DataFrame, columns: list[str], *, path: Path, remedy: str, separator: str = "\t"
) -> pl.DataFrame:
    """Split `text` at every `separator` into `columns`, keeping `line`; every line must have exactly that many fields.

    Raises:
        RefusedError: naming the first line with another number of fields, and the `remedy`.
    """
    found = lines["text"].str.count_matches(separator, literal=True) + 1
    wrong = lines.filter(found != len(columns))
    if not wrong.is_empty():
        line, text = wrong.row(0)
        fields = text.count(separator) + 1
        raise RefusedError(
            f"{path}, line {line}: {fields} {_SEPARATED[separator]} field{'s' * (fields > 1)}, expected {len(columns)} "
            f"({', '.join(columns)}), found {text!r:.80}; {remedy}"
        )
    parts = lines["text"].str.split_exact(separator, len(columns) - 1).struct.rename_fields(columns).struct.unnest()
    return pl.concat([lines.select("line"), parts], how="horizontal")


def refuse_empty(table: pl.DataFrame, column: str, *, path: Path) -> None:
    """Raise `RefusedError` naming the first line whose `column` is blank."""
    empty = table.filter(pl.col(column).str.strip_chars() == "")
    if not empty.is_empty():
        raise RefusedError(f"{path}, line {empty['line'][0]}: the {column} is empty; every line needs one")


@dataclass(frozen=True)
class DatSource:
    """A file of MovieLens without header, UTF-8 or Latin-1: `names` between `::` (1M, 10M), tabs or `|` (100K).

    It is held in memory, since none of this kind exceeds 300 MB.
    """

    path: Path
    names: tuple[str, ...]
    what: str
    separator: str = "::"
    encoding: str | None = None
    holds_separators: int | None = None
    """Place of a field that may hold the separator itself, as a title with `::` does."""

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @cached_property
    def table(self) -> pl.DataFrame:
        """All fields as strings, with `ROW`; raises `RefusedError` at a line with another number of fields."""
        lines = read_lines(self.path, what=self.what, encoding=self.encoding, otherwise="latin-1")
        shown = self.separator.replace("\t", r"\t")
        remedy = f"separate the fields by `{shown}`, as MovieLens does; its CSV files end in .csv"
        if self.holds_separators is not None:
            enough = lines["text"].str.count_matches(self.separator, literal=True) + 1 >= len(self.names)
            parts = [self._fields(text) for text in lines.filter(enough)["text"]]
            if enough.all():
                table = pl.DataFrame(parts, schema=dict.fromkeys(self.names, pl.String), orient="row")
                return table.select((lines["line"].cast(pl.UInt32) - 1).alias(ROW), *self.names)
        table = split_fields(lines, list(self.names), path=self.path, remedy=remedy, separator=self.separator)
        # So that `line` is right although blank lines are left out.
        return table.select(pl.col("line").cast(pl.UInt32).sub(1).alias(ROW), *self.names)

    def _fields(self, text: str) -> list[str]:
        """The fields of a line, whose title may hold separators; too few are too few."""
        place = self.holds_separators or 0
        fields = text.split(self.separator)
        end = max(place + 1, place + len(fields) - len(self.names) + 1)
        return [*fields[:place], self.separator.join(fields[place:end]), *fields[end:]]

    def columns(self) -> list[str]:
        """Names of the fields."""
        return list(self.names)

    def scan(self, columns: Sequence[str]) -> pl.LazyFrame:
        """These columns as strings."""
        return self.table.lazy().select(ROW, *columns)

    def line(self, row: int) -> str:
        """Every record is a line."""
        return f"line {row + 1}"

    def hint(self, absent: Sequence[str]) -> str:
        """The names are given, so none is absent."""
        return "name other columns"

    def refusal(self, error: Exception) -> RefusedError:
        """The whole file was split already, so polars cannot fail on it any more."""
        return RefusedError(f"{self.path} cannot be read ({error}); download it again")
