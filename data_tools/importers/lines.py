"""Text files read line by line into a table, so that every refusal can name the file and the line."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from iisan_core.errors import RefusedError


def read_lines(path: Path, *, what: str) -> pl.DataFrame:
    """All lines of a UTF-8 file that are not blank: `line` (counted from 1), `text` (no line end).

    Raises:
        RefusedError: the file is absent, not UTF-8, or has no line; `what` names it in the message.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RefusedError(f"cannot read the {what} {path} ({error.strerror}); check the path") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise RefusedError(
            f"{path}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; save the {what} as UTF-8 "
            "(for example `iconv -f latin1 -t utf-8`)"
        ) from None
    # Not `splitlines`: titles may hold characters that it takes for line ends.
    lines = pl.DataFrame({"text": text.split("\n")}).with_row_index("line", offset=1)
    lines = lines.with_columns(pl.col("text").str.strip_suffix("\r"))
    lines = lines.filter(pl.col("text").str.strip_chars() != "")
    if lines.is_empty():
        raise RefusedError(f"{path} is empty; the {what} needs at least one line")
    return lines


def split_tabs(lines: pl.DataFrame, columns: list[str], *, path: Path, remedy: str) -> pl.DataFrame:
    """Split `text` at tabs into `columns`, keeping `line`; every line must have exactly that many fields.

    Raises:
        RefusedError: naming the first line with another number of fields, and the `remedy`.
    """
    found = lines["text"].str.count_matches("\t", literal=True) + 1
    wrong = lines.filter(found != len(columns))
    if not wrong.is_empty():
        line, text = wrong.row(0)
        fields = text.count("\t") + 1
        raise RefusedError(
            f"{path}, line {line}: {fields} tab-separated field{'s' * (fields > 1)}, expected {len(columns)} "
            f"({', '.join(columns)}), found {text!r:.80}; {remedy}"
        )
    parts = lines["text"].str.split_exact("\t", len(columns) - 1).struct.rename_fields(columns).struct.unnest()
    return pl.concat([lines.select("line"), parts], how="horizontal")


def refuse_empty(table: pl.DataFrame, column: str, *, path: Path) -> None:
    """Raise `RefusedError` naming the first line whose `column` is blank."""
    empty = table.filter(pl.col(column).str.strip_chars() == "")
    if not empty.is_empty():
        raise RefusedError(f"{path}, line {empty['line'][0]}: the {column} is empty; every line needs one")
