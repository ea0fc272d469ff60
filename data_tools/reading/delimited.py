"""CSV and other separated files, gzip or not: scanned as strings by polars wherever it can be trusted with a file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

import polars as pl

from data_tools.reading.encodings import Counted, TextFile
from data_tools.reading.quoting import Layout, Quoting, find_layout, records
from data_tools.reading.sources import ROW, first_line
from iisan_core.errors import RefusedError

SEPARATORS = (",", ";", "\t", "|")
"""What is looked for in a header that does not have the columns asked for."""
AT_ONCE = 100_000
"""Records read at a time where polars cannot read a file."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Header:
    """The first record of a file."""

    first_line: int
    last_line: int
    separator: str
    fields: list[str]


@dataclass(frozen=True)
class CsvSource:
    """A file of separated fields with a header, or, with `names` given, without."""

    path: Path
    what: str
    separator: str = ","
    names: tuple[str, ...] | None = None
    quoting: Quoting | None = None
    """Unset: found by looking at the file."""
    encoding: str | None = None
    """Unset: as the file's byte order mark says, else UTF-8."""

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @cached_property
    def file(self) -> TextFile:
        """The text of the file."""
        return TextFile(self.path, what=self.what, encoding=self.encoding)

    @cached_property
    def _header(self) -> _Header:
        """The first line that is not blank; raises `RefusedError` for an empty file."""
        separator = self.separator
        with self.file.numbered_lines() as lines:
            for number, text in lines:
                hint = text.strip()
                if number == 1 and hint[:4] == "sep=" and len(hint) == 5:  # what Excel writes for itself
                    separator = hint[4]
                elif text.strip("\r\n"):
                    return self._header_at(number, chain([(number, text)], lines), separator)
        raise RefusedError(f"{self.path} is empty; the {self.what} needs a header and at least one line")

    def _header_at(self, number: int, lines: Iterator[tuple[int, str]], separator: str) -> _Header:
        """Its fields may hold line ends."""
        quoting: Quoting = self.quoting or ("double" if separator != "\t" else "none")
        counted = Counted(lines)
        _, fields = next(records(counted, separator=separator, quoting=quoting, path=self.path))
        if quoting == "none" and all(len(field) > 1 and field[0] == field[-1] == '"' for field in fields):
            fields = [field[1:-1] for field in fields]
        return _Header(first_line=number, last_line=counted.number, separator=separator, fields=fields)

    @property
    def first(self) -> list[str]:
        """The fields of the first line; raises `RefusedError` for an empty file."""
        return self._header.fields

    @cached_property
    def layout(self) -> Layout:
        """How its records are to be read; said where it is not as usual."""
        fields = len(self.columns())
        try:
            found = find_layout(self.file, separator=self._header.separator, fields=fields, quoting=self.quoting)
        except pl.exceptions.PolarsError as error:
            with self.file.numbered_lines() as lines:
                for _ in lines:
                    pass  # to the first line that is not UTF-8
            raise RefusedError(f"{self.path} cannot be read ({first_line(error)}); write it again") from None
        if found.why and self.quoting is None:
            logger.warning("%s is read with --quoting %s: %s", self.path, found.quoting, found.why)
        return found

    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.names or self.first)

    def hint(self, absent: Sequence[str]) -> str:
        """What may be wrong where these columns are not in the header."""
        header = self.separator.join(self.first)
        other = max(SEPARATORS, key=header.count)
        if len(self.first) == 1 and other in header:
            shown = r"\t" if other == "\t" else other
            return f"check the separator between the fields: it seems to be '{shown}', as --separator '{shown}' says"
        same = {name.casefold().strip(): name for name in self.first}
        near = [f"{name!r} is {same[name.casefold()]!r}" for name in absent if name.casefold() in same]
        named = f": here {', '.join(near)}" if near else ""
        return f"check the separator between the fields and the names of the columns{named}"

    def scan(self, columns: Sequence[str]) -> pl.LazyFrame:
        """These columns as strings (empty ones null), without blank lines."""
        if not self.layout.lines_are_records:
            return self._read(columns).lazy()
        frame = pl.scan_csv(
            self.file.plain,
            separator=self._header.separator,
            has_header=self.names is None,
            skip_lines=self._header.first_line - 1 if self.names is None else 0,
            quote_char='"' if self.layout.quoting == "double" else None,
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
        return [line for line, _ in self._records()]

    def refusal(self, error: Exception) -> RefusedError:
        """Walk the file to the first line that is not UTF-8, breaks off, or has too many fields."""
        try:
            for line, fields in self._records():
                self._refuse_too_many(line, fields)
        except RefusedError as refusal:
            return refusal
        return RefusedError(f"{self.path} cannot be read as CSV ({first_line(error)}); check its quotes and separators")

    def _refuse_too_many(self, line: int, fields: list[str]) -> None:
        """Spreadsheets write separators behind the last field of a line, too; those say nothing."""
        expected = len(self.columns())
        if any(fields[expected:]):
            raise RefusedError(
                f"{self.path}, line {line}: {len(fields)} fields, expected {expected} ({', '.join(self.columns())}); "
                f"put fields that hold {self._header.separator!r} in double quotes"
            )

    def _read(self, columns: Sequence[str]) -> pl.DataFrame:
        """The file read record by record, where polars would take fields apart or together."""
        names = self._distinct_columns()
        places = [names.index(name) for name in columns]
        schema = {ROW: pl.UInt32, **dict.fromkeys(columns, pl.String)}
        parts = [pl.DataFrame(schema=schema)]
        rows = self._rows(places)
        while part := list(islice(rows, AT_ONCE)):
            parts.append(pl.DataFrame(part, schema=schema, orient="row"))
        return pl.concat(parts)

    def _rows(self, places: Sequence[int]) -> Iterator[tuple[int | str | None, ...]]:
        for row, (line, fields) in enumerate(self._records()):
            self._refuse_too_many(line, fields)
            if any(fields):
                yield (row, *(fields[place] or None if place < len(fields) else None for place in places))

    def _distinct_columns(self) -> list[str]:
        """Names of the columns; one that stands there again, often an empty one, is told apart by its place."""
        names = self.columns()
        return [name if name not in names[:i] else f"{name} (column {i + 1})" for i, name in enumerate(names)]

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Every record below the header with the line on which it begins."""
        with self.file.numbered_lines() as lines:
            rest = islice(lines, self._header.last_line if self.names is None else 0, None)
            separator, quoting = self._header.separator, self.layout.quoting
            yield from records(rest, separator=separator, quoting=quoting, path=self.path)
