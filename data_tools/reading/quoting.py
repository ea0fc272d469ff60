"""Whether the quotes of a separated file enclose fields or belong to them: found by looking at all of its lines.

CSV encloses a field that holds a separator, a quote or a line end in double quotes, and doubles the quotes inside.
Files of the field often do not: inch marks stand alone, TSV knows no quotes at all, some programs write `\\"`.
A quote that opens in one line and closes in another swallows all between, so it counts only where nothing else fits.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import polars as pl

from data_tools.reading.encodings import Counted, TextFile
from iisan_core.errors import RefusedError

Quoting: TypeAlias = Literal["double", "none", "backslash"]
QUOTINGS: tuple[Quoting, ...] = get_args(Quoting)
SHAPES = 3
"""A column whose values have at most so many shapes tells lines of the table from lines of a text."""
CALM = 5
"""Lines that it takes to know the shapes of a column."""
LOOKED_AT = 1000
_ENCLOSED = r'(?:"(?:[^"]++|"")*+"|[^"{between}\r\n]*+)(?:{between}(?:"(?:[^"]++|"")*+"|[^"{between}\r\n]*+))*+\r?\n?'
"""A record, over several lines perhaps, whose quotes all enclose fields."""

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # descriptions may have more than the 131,072 letters of the default


@dataclass(frozen=True)
class Layout:
    """How the records of a file are to be read."""

    quoting: Quoting
    lines_are_records: bool
    """Whether polars can be trusted with it: no record spans lines, none has more fields than the header."""
    why: str = ""
    """Why quotes are read otherwise than usual; empty where they are not."""


@dataclass(frozen=True)
class _Reading:
    """What comes out when a file is read in one way."""

    fits: bool
    swallowed: tuple[int, ...] = ()
    """Lines that lie inside or at the end of records over several lines, the first `LOOKED_AT`."""
    by_a_program: bool = False
    """Whether every quote encloses a field or is doubled in one, and some are doubled: nobody does that by hand."""


def find_layout(file: TextFile, *, separator: str, fields: int, quoting: Quoting | None) -> Layout:
    """Look at all lines of the file, whose header has so many `fields`.

    Raises `RefusedError` where it may be read in two ways that differ; `--quoting` says which is meant.
    """
    lines = _lines(file.plain)
    quoted = lines.filter(pl.col("line").str.contains('"', literal=True))
    plain = _counts(lines, separator)
    if quoting == "none" or not _any(quoted):
        return Layout("none", plain.most <= fields)
    if quoting == "backslash":
        return Layout("backslash", False)
    whole = _all(quoted, _record_pattern(separator, r'(?:[^"]|"")*'))
    if whole and (quoting == "double" or separator != "\t" or _as_a_program_quotes(quoted, separator, plain, fields)):
        inside = _counts(lines.with_columns(pl.col("line").str.replace_all(r'"(?:[^"]|"")*"', "")), separator)
        return Layout("double", inside.most <= fields)
    if quoting == "double":
        return Layout("double", False)
    return _choose(file, quoted, plain, separator=separator, fields=fields)


def _choose(file: TextFile, quoted: pl.LazyFrame, plain: _Counts, *, separator: str, fields: int) -> Layout:
    """Of the ways to read quotes that do not all enclose fields, the one that fits the whole file."""
    as_they_stand = Layout("none", True, "its quotes do not enclose fields")
    enclosing = _try(file, "double", separator, fields)
    if enclosing.by_a_program:
        return Layout("double", False)
    if separator == "\t" and plain.least == plain.most == fields:
        return as_they_stand
    if enclosing.fits:
        like_records = _look_like_records(file, enclosing.swallowed, separator, fields)
        if like_records is None:
            raise _two_ways(file, enclosing.swallowed[0])
        return as_they_stand if like_records and plain.most <= fields else Layout("double", False)
    if _any(quoted.filter(pl.col("line").str.contains('\\"', literal=True))):
        escaped = _all(quoted, _record_pattern(separator, r'(?:[^"\\]|\\.)*'))
        if escaped or (plain.most > fields and _try(file, "backslash", separator, fields).fits):
            return Layout("backslash", False, "a backslash stands before the quotes inside fields")
    return as_they_stand if plain.most <= fields else Layout("double", False)


def _two_ways(file: TextFile, line: int) -> RefusedError:
    return RefusedError(
        f"{file.path}, lines {line - 1} and {line}: the quotes may enclose a text over several lines or belong to the "
        "text; say which by --quoting double or --quoting none"
    )


def records(
    lines: Iterable[tuple[int, str]], *, separator: str, quoting: Quoting, path: Path
) -> Iterator[tuple[int, list[str]]]:
    """Every record with the line on which it begins, blank lines as records without fields.

    Raises `RefusedError` naming the line whose quotes do not fit.
    """
    if quoting == "none":
        for number, text in lines:
            bare = text.rstrip("\r\n")
            yield number, bare.split(separator) if bare else []
        return
    escape = {"escapechar": "\\", "doublequote": False} if quoting == "backslash" else {}
    counted, before = Counted(lines), 0
    reader = csv.reader((_one_line(text) for _, text in counted), delimiter=separator, strict=True, **escape)  # type: ignore[arg-type]
    try:
        for found in reader:
            yield counted.number - reader.line_num + before + 1, found
            before = reader.line_num
    except csv.Error as error:
        raise RefusedError(
            f"{path}, line {counted.number - reader.line_num + before + 1}: the record that begins here is no valid "
            f"CSV ({error}); close its double quotes, and double those inside a field, or give --quoting none where "
            "quotes are part of the text"
        ) from None


def _one_line(text: str) -> str:
    """A line whose returns, which end no line here, are another control character: Python's reader refuses them."""
    if "\r" not in text:
        return text
    return text.rstrip("\r\n").replace("\r", "\v") + "\n"


@dataclass(frozen=True)
class _Counts:
    """Of the lines, split at every separator: the least and the most fields."""

    least: int
    most: int


def _lines(path: Path) -> pl.LazyFrame:
    """The lines that are not blank."""
    lines = pl.scan_lines(path, name="line", glob=False)
    return lines.filter(pl.col("line").str.strip_chars("\r\ufeff ") != "")


def _counts(lines: pl.LazyFrame, separator: str) -> _Counts:
    fields = pl.col("line").str.count_matches(separator, literal=True) + 1
    least, most = lines.select(least=fields.min(), most=fields.max()).collect(engine="streaming").row(0)
    return _Counts(least or 0, most or 0)


def _any(lines: pl.LazyFrame) -> bool:
    return not lines.head(1).collect(engine="streaming").is_empty()


def _all(lines: pl.LazyFrame, pattern: str) -> bool:
    return bool(lines.select(pl.col("line").str.contains(pattern).all()).collect(engine="streaming").item())


def _record_pattern(separator: str, inside: str) -> str:
    """A line of fields, each enclosed in quotes or without any."""
    between = re.escape(separator)
    one = rf'(?:"{inside}"|[^"{between}]*)'
    return rf"^\x{{FEFF}}?{one}(?:{between}{one})*\r?$"


def _as_a_program_quotes(quoted: pl.LazyFrame, separator: str, plain: _Counts, fields: int) -> bool:
    """Whether quotes of a tab-separated file are there as a program sets them: quotes inside of them are doubled.

    In TSV a title may well be a quotation that nobody enclosed.
    """
    if not plain.least == plain.most == fields:
        return True
    between = re.escape(separator)
    return _any(quoted.filter(pl.col("line").str.contains(rf'(?:^|{between})"(?:[^"]|"")*""(?:[^"]|"")*"')))


def _try(file: TextFile, quoting: Quoting, separator: str, fields: int) -> _Reading:
    """Read the file in one way: whether no record has more fields than the header, and which lines it swallows."""
    swallowed: list[int] = []
    enclosed, doubled = True, False
    pattern = re.compile(_ENCLOSED.format(between=re.escape(separator)))
    try:
        with file.numbered_lines() as lines:
            counted = Counted(lines, keep=True)
            for begins, found in records(counted, separator=separator, quoting=quoting, path=file.path):
                if any(found[fields:]):
                    return _Reading(fits=False)
                if len(swallowed) < LOOKED_AT:
                    swallowed += range(begins + 1, counted.number + 1)
                text = counted.taken()
                enclosed = enclosed and ('"' not in text or pattern.fullmatch(text) is not None)
                doubled = doubled or any('"' in field for field in found)
    except RefusedError:
        return _Reading(fits=False)
    return _Reading(fits=True, swallowed=tuple(swallowed), by_a_program=enclosed and doubled)


def _look_like_records(file: TextFile, swallowed: tuple[int, ...], separator: str, fields: int) -> bool | None:
    """Whether lines inside of quotes look like records: by their number of fields, and by columns of few shapes.

    None where they have the right number, but no column has few shapes, as ids and times have, or too few lines lie
    outside of quotes.
    """
    inside = set(swallowed)
    calm: list[list[str]] = []
    shapes: list[list[str]] = []
    with file.numbered_lines() as lines:
        for number, text in lines:
            split = text.rstrip("\r\n").split(separator)
            if number in inside:
                shapes.append([_shape(field) for field in split])
            elif number > 1 and '"' not in text and len(split) == fields and len(calm) < LOOKED_AT:
                calm.append([_shape(field) for field in split])
    full = [line for line in shapes if len(line) == fields]
    if len(full) <= len(shapes) / 2:
        return False
    columns = [set(column) for column in zip(*calm, strict=True)] if len(calm) >= CALM else []
    telling = [n for n, found in enumerate(columns) if len(found) <= SHAPES]
    if not telling:
        return None
    return all(line[n] in columns[n] for line in full for n in telling)


def _shape(field: str) -> str:
    """Runs of digits as one 9, runs of letters as one a: `B0012` and `B7` have the same shape."""
    return re.sub(r"\d+", "9", re.sub(r"[^\W\d_]+", "a", field.strip(' "')))
