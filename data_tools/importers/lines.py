"""Text files read line by line into a table, so that every refusal can name the file and the line."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import polars as pl

from data_tools.importers.sources import broken_off, open_binary
from iisan_core.errors import RefusedError

BLOCK = 2**20
_SEPARATED = {"\t": "tab-separated", "::": "`::`-separated"}


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
            raise broken_off(path, raw.count(b"\n"), error) from None
    return bytes(raw)


def _decoded(raw: bytes, path: Path, *, what: str, else_latin1: bool) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if else_latin1:
            return raw.decode("latin-1")
        line = raw.count(b"\n", 0, error.start) + 1
        raise RefusedError(
            f"{path}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; save the {what} as UTF-8 "
            "(for example `iconv -f latin1 -t utf-8`)"
        ) from None


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
