"""The formats of source files, gzip or not: CSV, MovieLens' `.dat`, JSON lines.

CSV and JSON lines are scanned as strings by polars, and walked by line only to name the place of a fault.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from data_tools.importers.sources import ROW, first_line, numbered_lines, open_binary, read_lines, split_fields
from iisan_core.errors import RefusedError


@dataclass(frozen=True)
class CsvSource:
    """A CSV file with a header, or, with `names` given, without."""

    path: Path
    what: str
    separator: str = ","
    names: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @cached_property
    def first(self) -> list[str]:
        """The fields of the first line; raises `RefusedError` for an empty file."""
        for _, fields in self._records():
            if fields:
                return fields
        raise RefusedError(f"{self.path} is empty; the {self.what} needs a header and at least one line")

    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.names or self.first)

    def scan(self, columns: Sequence[str]) -> pl.LazyFrame:
        """These columns as strings (empty ones null), without blank lines."""
        frame = pl.scan_csv(
            self.path,
            separator=self.separator,
            has_header=self.names is None,
            new_columns=self._distinct_columns(),
            infer_schema=False,
            glob=False,
            row_index_name=ROW,
        )
        blank = pl.all_horizontal(pl.exclude(ROW).is_null())
        return frame.filter(~blank).select(ROW, *columns)

    def line(self, row: int) -> str:
        """The line on which record `row` begins; a quoted field may hold line ends."""
        return f"line {self.line_numbers()[row]}"

    def line_numbers(self) -> list[int]:
        """The line on which each record begins, blank lines included; the header and what is above it left out."""
        records = list(self._records())
        begin = 0 if self.names is not None else next(i for i, (_, fields) in enumerate(records) if fields) + 1
        return [line for line, _ in records[begin:]]

    def refusal(self, error: Exception) -> RefusedError:
        """Walk the file to the first line that is not UTF-8, breaks off, or has too many fields."""
        expected = len(self.columns())
        try:
            for line, fields in self._records():
                if len(fields) > expected:
                    return RefusedError(
                        f"{self.path}, line {line}: {len(fields)} fields, expected {expected} "
                        f"({', '.join(self.columns())}); put fields that hold {self.separator!r} in double quotes"
                    )
        except RefusedError as refusal:
            return refusal
        return RefusedError(f"{self.path} cannot be read as CSV ({first_line(error)}); check its quotes and separators")

    def _distinct_columns(self) -> list[str]:
        """Names of the columns; one that stands there again, often an empty one, is told apart by its place."""
        names = self.columns()
        return [name if name not in names[:i] else f"{name} (column {i + 1})" for i, name in enumerate(names)]

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Every record with the line on which it begins."""
        begins = 1
        with numbered_lines(self.path, what=self.what) as lines:
            reader = csv.reader((text for _, text in lines), delimiter=self.separator, strict=True)
            try:
                for fields in reader:
                    yield begins, fields
                    begins = reader.line_num + 1
            except csv.Error as error:
                raise RefusedError(
                    f"{self.path}, line {begins}: the record that begins here is no valid CSV ({error}); "
                    "close its double quotes, and double those inside a field"
                ) from None


@dataclass(frozen=True)
class DatSource:
    """A MovieLens `.dat` file: `names` between `::`, UTF-8 (10M) or Latin-1 (1M), no header.

    It is held in memory, since none of this kind exceeds 300 MB.
    """

    path: Path
    names: tuple[str, ...]
    what: str

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @cached_property
    def table(self) -> pl.DataFrame:
        """All fields as strings, with `ROW`; raises `RefusedError` at a line with another number of fields."""
        lines = read_lines(self.path, what=self.what, else_latin1=True)
        remedy = "separate the fields by `::`, as MovieLens does; its CSV files end in .csv"
        table = split_fields(lines, list(self.names), path=self.path, remedy=remedy, separator="::")
        # So that `line` is right although blank lines are left out.
        return table.select(pl.col("line").sub(1).alias(ROW), *self.names)

    def columns(self) -> list[str]:
        """Names of the fields."""
        return list(self.names)

    def scan(self, columns: Sequence[str]) -> pl.LazyFrame:
        """These columns as strings."""
        return self.table.lazy().select(ROW, *columns)

    def line(self, row: int) -> str:
        """Every record is a line."""
        return f"line {row + 1}"

    def refusal(self, error: Exception) -> RefusedError:
        """The whole file was split already, so polars cannot fail on it any more."""
        return RefusedError(f"{self.path} cannot be read ({error}); download it again")


@dataclass(frozen=True)
class JsonLinesSource:
    """A file with one JSON object a line."""

    path: Path
    what: str

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def columns(self) -> None:
        """Every object names its own fields."""
        return None

    def scan(self, columns: Sequence[str]) -> pl.LazyFrame:
        """These fields as strings: null where absent; lists and objects as JSON text."""
        open_binary(self.path, what=self.what).close()
        # As strings, because the same field is a list on one line and a string on another in published files.
        return pl.scan_ndjson(self.path, schema=dict.fromkeys(columns, pl.String), row_index_name=ROW)

    def line(self, row: int) -> str:
        """The line of record `row`; blank lines are no records."""
        with numbered_lines(self.path, what=self.what) as lines:
            numbers = (number for number, text in lines if text.strip())
            return f"line {next(number for i, number in enumerate(numbers) if i == row)}"

    def refusal(self, error: Exception) -> RefusedError:
        """Walk the file to the first line that is no JSON object."""
        try:
            with numbered_lines(self.path, what=self.what) as lines:
                for number, text in lines:
                    if text.strip() and not _is_object(text):
                        return RefusedError(
                            f"{self.path}, line {number}: no JSON object but {text.strip()!r:.60}; "
                            f"the {self.what} needs one object a line"
                        )
        except RefusedError as refusal:
            return refusal
        return RefusedError(
            f"{self.path} cannot be read as JSON lines ({first_line(error)}); write or download it again"
        )


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
