"""MovieLens `.dat` files: fields between `::`, UTF-8 (10M) or Latin-1 (1M), no header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from data_tools.importers.lines import read_lines, split_fields
from data_tools.importers.sources import ROW
from iisan_core.errors import RefusedError


@dataclass(frozen=True)
class DatSource:
    """A `.dat` file whose fields are `names`; held in memory, since none of this kind exceeds 300 MB."""

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
