"""JSON lines, gzip or not: one object a line, scanned by polars; walked by line only to name the place of a fault."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data_tools.importers.sources import ROW, first_line, numbered_lines, open_binary
from iisan_core.errors import RefusedError


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
