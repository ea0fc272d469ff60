"""A file of records as an importer sees it: columns to scan, and a place to name when a record is at fault."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
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

    def refusal(self, error: Exception) -> RefusedError:
        """What to tell the user when polars could not read the source."""


@dataclass(frozen=True)
class TableSource:
    """A Parquet file, or a table in memory, as a source; its rows count from 1 in messages."""

    name: str
    frame: pl.LazyFrame

    @classmethod
    def parquet(cls, path: Path, *, what: str) -> TableSource:
        """A Parquet file; raises `RefusedError` if it cannot be read."""
        open_binary(path, what=what).close()
        return cls(str(path), pl.scan_parquet(path, glob=False))

    def columns(self) -> list[str]:
        """Names of the columns."""
        return schema_of(self, self.frame).names()

    def scan(self, columns: Sequence[str]) -> pl.LazyFrame:
        """These columns, with the types that the table has."""
        return self.frame.select(columns).with_row_index(ROW)

    def line(self, row: int) -> str:
        """A table has rows, not lines."""
        return f"row {row + 1}"

    def refusal(self, error: Exception) -> RefusedError:
        """A table that polars cannot read is damaged or of another format."""
        return RefusedError(f"{self.name} cannot be read as a table ({first_line(error)}); write or download it again")


def require(source: Source, names: Sequence[str]) -> None:
    """Raise `RefusedError` if the source has a header and it lacks one of `names`, or names one twice."""
    found = source.columns()
    if found is None:
        return
    absent = [name for name in names if name not in found]
    if absent:
        raise RefusedError(
            f"{source.name}, line 1: the columns are {found}, {absent} not among them; check the separator between "
            "the fields and the names of the columns"
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


def open_binary(path: Path, *, what: str) -> BufferedReader | gzip.GzipFile:
    """Open a file, unpacking gzip; raises `RefusedError` naming `what` if it is absent or no file."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise RefusedError(f"cannot read the {what} {path} ({error.strerror}); check the path") from None
    if stream.peek(2)[:2] != b"\x1f\x8b":
        return stream
    stream.close()
    return gzip.open(path)


@contextmanager
def numbered_lines(path: Path, *, what: str) -> Iterator[Iterator[tuple[int, str]]]:
    """The lines of a UTF-8 file, gzip or not, counted from 1, with their ends.

    Raises:
        RefusedError: at the first line that is not UTF-8 or where a gzip file breaks off.
    """
    with open_binary(path, what=what) as stream:
        yield _decoded(stream, path)


def _decoded(stream: Iterable[bytes], path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, raw in enumerate(stream, start=1):
            yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise RefusedError(
            f"{path}, line {number}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8 "
            "(for example `iconv -f latin1 -t utf-8`)"
        ) from None
    except (EOFError, OSError, zlib.error) as error:
        raise broken_off(path, number, error) from None


def broken_off(path: Path, lines: int, error: Exception) -> RefusedError:
    """What to say of a gzip file that ends, or turns to noise, after so many lines."""
    return RefusedError(
        f"{path}, after line {lines}: the compressed data breaks off ({error}); download the file again"
    )


def first_line(error: Exception) -> str:
    """The first line of what a library says, without its advice to programmers."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
