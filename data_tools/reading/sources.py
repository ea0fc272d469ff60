"""A file of records as an importer sees it: columns to scan, and a place to name for every fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import polars as pl

from iisan_core.errors import RefusedError

ROW = "source row"
"""Column that every scan adds: the position of the record in the source, from 0."""


class Source(Protocol):
    """Records that can be scanned without holding them all in memory."""

    @property
    def name(self) -> str:
        """What messages call the source, such as its path."""

    def columns(self) -> list[str] | None:
        """The columns there are; None where every record names its own (JSON lines)."""

    def scan(self, columns: Sequence[str]) -> pl.LazyFrame:
        """These columns and `ROW`; text sources give strings."""

    def line(self, row: int) -> str:
        """Where record `row` stands, such as `line 7`."""

    def hint(self, absent: Sequence[str]) -> str:
        """What may be wrong where these columns are not there, after `not among them; `."""

    def refusal(self, error: Exception) -> RefusedError:
        """What to tell the user when polars could not read the source."""


def require(source: Source, names: Sequence[str]) -> None:
    """Raise `RefusedError` if the source has a header and it lacks one of `names`, or names one twice."""
    found = source.columns()
    if found is None:
        return
    absent = [name for name in names if name not in found]
    if absent:
        raise RefusedError(
            f"{source.name}, line 1: the columns are {found}, {absent} not among them; {source.hint(absent)}"
        )
    twice = [name for name in names if found.count(name) > 1]
    if twice:
        raise RefusedError(f"{source.name}, line 1: the columns {twice} stand there twice; rename them")


def schema_of(source: Source, frame: pl.LazyFrame) -> pl.Schema:
    """The columns of a query over `source` and their types; what polars cannot read becomes a `RefusedError`."""
    try:
        return frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise source.refusal(error) from None


def collect(source: Source, frame: pl.LazyFrame) -> pl.DataFrame:
    """Run a query over `source` block by block; what polars cannot read becomes a `RefusedError`."""
    try:
        return frame.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise source.refusal(error) from None


def first_line(error: Exception) -> str:
    """The first line of what a library says, without its advice to programmers."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
