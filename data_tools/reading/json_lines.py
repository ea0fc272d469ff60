"""One JSON object a line, as published: nested fields, NaN, half characters, byte order marks, Python's spelling."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from data_tools.reading.containers import BROKEN, broken_off, head, open_bytes, refuse_other_kinds
from data_tools.reading.encodings import OTHER_MARKS, TextFile
from data_tools.reading.sources import ROW, first_line
from iisan_core.errors import RefusedError

AT_ONCE = 50_000
"""Records held as Python objects at a time."""
Convert: TypeAlias = Callable[[Any], str | None]


def text_of(value: Any) -> str | None:
    """A value of JSON as text: numbers and truths as JSON writes them, lists of those joined by a space.

    Raises `TypeError` for an object, or a list that holds one.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list):
        return " ".join(part for part in map(text_of, value) if part) or None
    raise TypeError(f"an object with the fields {', '.join(list(value)[:4])}")


@dataclass(frozen=True)
class JsonLinesSource:
    """A file with one object a line; Python's dictionaries, as in the Amazon files of 2014, count as such."""

    path: Path
    what: str
    convert: Mapping[str, Convert] = field(default_factory=dict)
    """Field → what makes text of its value; unset: `text_of`."""
    encoding: str | None = None

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @cached_property
    def file(self) -> TextFile:
        """The text of the file."""
        return TextFile(self.path, what=self.what, encoding=self.encoding)

    def columns(self) -> None:
        """Every object names its own fields."""
        return None

    def first_fields(self) -> list[str]:
        """The fields of the first object; none in an empty file."""
        return [str(name) for _, record in islice(self._objects(), 1) for name in record]

    def scan(self, columns: Sequence[str]) -> pl.LazyFrame:
        """These fields as strings, null where absent; raises `RefusedError` at the first line that is no object."""
        parts = []
        objects = self._objects()
        while True:
            numbers: list[int] = []
            values: list[list[Any]] = [[] for _ in columns]
            for number, record in islice(objects, AT_ONCE):
                numbers.append(number)
                for name, held in zip(columns, values, strict=True):
                    held.append(record.get(name))
            rows = pl.Series(ROW, numbers, dtype=pl.UInt32) - 1
            texts = (self._column(name, numbers, held) for name, held in zip(columns, values, strict=True))
            parts.append(pl.DataFrame([rows, *texts]))
            if len(numbers) < AT_ONCE:
                return pl.concat(parts).lazy()

    def _column(self, name: str, numbers: list[int], values: list[Any]) -> pl.Series:
        """A field of the objects on these lines as text."""
        way, plain = self.convert.get(name, text_of), name not in self.convert
        texts = [
            value if value is None or (plain and type(value) is str) else self._text(number, name, way, value)
            for number, value in zip(numbers, values, strict=True)
        ]
        try:
            return pl.Series(name, texts, dtype=pl.String)
        except UnicodeEncodeError:
            return pl.Series(name, [text and _whole_characters(text) for text in texts], dtype=pl.String)

    def _text(self, number: int, name: str, way: Convert, value: Any) -> str | None:
        try:
            return way(value)
        except TypeError as error:
            raise RefusedError(
                f"{self.path}, line {number}: the field {name!r} is {error}, no text; name another, or write its text "
                "into a field of its own"
            ) from None

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every object with its line."""
        for number, text in self._lines():
            if text.isspace():
                continue
            record = _decoded(text)
            if not isinstance(record, dict):
                raise RefusedError(
                    f"{self.path}, line {number}: no JSON object but {text.strip()!r:.60}; the {self.what} needs one "
                    "object a line"
                )
            yield number, record

    def _lines(self) -> Iterator[tuple[int, str]]:
        """The lines, unpacked on the way: such files may be too large to lie unpacked beside it."""
        refuse_other_kinds(self.path, what=self.what)
        number = 0
        if self.encoding is not None or head(self.path, what=self.what).startswith(OTHER_MARKS):
            with self.file.numbered_lines() as lines:
                yield from lines
            return
        with open_bytes(self.path, what=self.what) as stream:
            try:
                for number, raw in enumerate(stream, start=1):
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise self.file.not_utf8(number, error) from None
            except BROKEN as error:
                raise broken_off(self.path, number, error) from None

    def line(self, row: int) -> str:
        """Every record is a line."""
        return f"line {row + 1}"

    def hint(self, absent: Sequence[str]) -> str:
        """No object need have a field, so none is absent."""
        return "name other fields"

    def refusal(self, error: Exception) -> RefusedError:
        """The whole file was read already."""
        return RefusedError(f"{self.path} cannot be read as JSON lines ({first_line(error)}); write it again")


def _decoded(text: str) -> Any:
    """What a line holds; None if it is neither JSON nor a dictionary of Python."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if not text.lstrip().startswith("{'"):
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _whole_characters(text: str) -> str:
    """Halves of characters, which some files escape alone, as the sign for what cannot be read."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
