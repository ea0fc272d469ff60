"""A file of records as an importer sees it: columns to scan, or lines to split, and a place to name for every fault."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from iisan_core.errors import RefusedError

ROW = "source row"
"""Column that every scan adds: the position of the record in the source, from 0."""
BLOCK = 2**20
"""Bytes read at a time."""
_SEPARATED = {"\t": "tab-separated", "::": "`::`-separated"}


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


def open_binary(path: Path, *, what: str) -> io.BufferedReader | gzip.GzipFile:
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
        yield _each_decoded(stream, path)


def _each_decoded(stream: Iterable[bytes], path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, raw in enumerate(stream, start=1):
            yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, number, error, what="file") from None
    except (EOFError, OSError, zlib.error) as error:
        raise _broken_off(path, number, error) from None


def read_lines(path: Path, *, what: str, else_latin1: bool = False) -> pl.DataFrame:
    """All lines of a UTF-8 file, gzip or not, that are not blank: `line` (counted from 1), `text` (no line end).

    `else_latin1` reads a file that is not UTF-8 as Latin-1.

    Raises:
        RefusedError: the file is absent, breaks off, is not UTF-8, or has no line; `what` names it in the message.
    """
    text = _decoded(_read_bytes(path, what=what), path, what=what, else_latin1=else_latin1).encode()
    lines = pl.read_lines(io.BytesIO(text), name="text", row_index_name="line", row_index_offset=1)
    lines = lines.with_columns(pl.col("text").str.strip_suffix("\r"))
    lines = lines.filter(pl.col("text").str.strip_chars() != "")
    if lines.is_empty():
        raise RefusedError(f"{path} is empty; the {what} needs at least one line")
    return lines


def _read_bytes(path: Path, *, what: str) -> bytes:
    with open_binary(path, what=what) as stream:
        raw = bytearray()
        try:
            while block := stream.read(BLOCK):
                raw += block
        except (EOFError, OSError, zlib.error) as error:
            raise _broken_off(path, raw.count(b"\n"), error) from None
    return bytes(raw)


def _decoded(raw: bytes, path: Path, *, what: str, else_latin1: bool) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if else_latin1:
            return raw.decode("latin-1")
        raise _not_utf8(path, raw.count(b"\n", 0, error.start) + 1, error, what=what) from None


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


def _not_utf8(path: Path, line: int, error: UnicodeDecodeError, *, what: str) -> RefusedError:
    byte = error.object[error.start]
    return RefusedError(
        f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8; save the {what} as UTF-8 "
        "(for example `iconv -f latin1 -t utf-8`)"
    )


def _broken_off(path: Path, lines: int, error: Exception) -> RefusedError:
    """What to say of a gzip file that ends, or turns to noise, after so many lines."""
    return RefusedError(
        f"{path}, after line {lines}: the compressed data breaks off ({error}); download the file again"
    )


def first_line(error: Exception) -> str:
    """The first line of what a library says, without its advice to programmers."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
