"""CSV files, gzip or not: scanned as strings by polars; walked by line only to name the place of a fault."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from data_tools.importers.sources import ROW, first_line, numbered_lines
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
