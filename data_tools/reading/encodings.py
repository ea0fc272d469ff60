"""The text of a file: its encoding, its lines, and a plain copy where polars could not read it as it lies there."""

from __future__ import annotations

import codecs
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO

from data_tools.reading.containers import BLOCK, BROKEN, HEAD, broken_off, is_packed, open_bytes, refuse_other_kinds
from iisan_core.errors import IisanError, RefusedError

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks and what they stand for; those of UTF-32 begin like those of UTF-16."""
OTHER_MARKS = tuple(mark for mark, encoding in MARKS if encoding != "utf-8-sig")
OF_WINDOWS = frozenset(range(0x80, 0xA0)) - {0x81, 0x8D, 0x8F, 0x90, 0x9D}
"""Bytes that are letters and quotes in Windows-1252 and control characters in Latin-1."""
LOOKED_AT = 1000
"""Lines that are not UTF-8 and tell which encoding it may be."""


class TextFile:
    """A file of text; packed, with a byte order mark or in another encoding all the same.

    Args:
        path: the file.
        what: what messages call it.
        encoding: how its text is encoded; unset: as its byte order mark says, else UTF-8.
    """

    def __init__(self, path: Path, *, what: str, encoding: str | None = None) -> None:
        self.path = path
        self.what = what
        self.encoding = _checked(encoding)

    @property
    def begins(self) -> str:
        """The first characters."""
        with open_bytes(self.path, what=self.what) as stream:
            raw = _first_bytes(stream, self.path)
        return raw.decode(self.encoding or _marked(raw, self.path), errors="ignore").lstrip("\ufeff")

    @cached_property
    def plain(self) -> Path:
        """The file itself, or an unpacked copy in UTF-8 with `\\n` at the end of lines, gone with this object.

        Raises `RefusedError` if the file is absent, no text, breaks off or is not in the encoding that was named.
        """
        refuse_other_kinds(self.path, what=self.what)
        with open_bytes(self.path, what=self.what) as stream:
            begins = _first_bytes(stream, self.path)
        encoding = self.encoding or _marked(begins, self.path)
        old_line_ends = b"\r" in begins and b"\n" not in begins.replace(b"\r\n", b"\n")
        if encoding in ("utf-8", "utf-8-sig") and not old_line_ends and not is_packed(self.path, what=self.what):
            return self.path
        return self._copied(encoding)

    def _copied(self, encoding: str) -> Path:
        handle, name = tempfile.mkstemp(prefix="iisan-import-", suffix=".txt")
        self._remove = weakref.finalize(self, Path(name).unlink, missing_ok=True)
        lines = 0
        with os.fdopen(handle, "wb") as copy, open_bytes(self.path, what=self.what) as stream:
            try:
                for block in _blocks(stream, self.path, encoding):
                    lines += block.count(b"\n")
                    copy.write(block)
            except UnicodeError as error:
                raise RefusedError(
                    f"{self.path}, about line {lines + 1}: no {encoding} ({error}); give another --encoding"
                ) from None
            except OSError as error:
                raise IisanError(
                    f"{self.path} cannot be unpacked to {name} ({error}); set TMPDIR to a roomier place"
                ) from None
        return Path(name)

    @contextmanager
    def numbered_lines(self) -> Iterator[Iterator[tuple[int, str]]]:
        """The lines, counted from 1, with their ends; raises `RefusedError` at the first that is not UTF-8."""
        with self.plain.open("rb") as stream:
            yield self._each_decoded(stream)

    def _each_decoded(self, stream: Iterable[bytes]) -> Iterator[tuple[int, str]]:
        number = 0
        try:
            for number, raw in enumerate(stream, start=1):
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise self.not_utf8(number, error) from None

    def text(self, *, otherwise: str | None = None) -> str:
        """All of it; `otherwise` is the encoding of what is not UTF-8. Raises `RefusedError` as `plain` does."""
        raw = self.plain.read_bytes()
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if otherwise is not None:
                return raw.decode(otherwise)
            raise self.not_utf8(raw.count(b"\n", 0, error.start) + 1, error) from None

    def not_utf8(self, line: int, error: UnicodeDecodeError) -> RefusedError:
        """What to say of a byte that is not UTF-8: what it is likely to be."""
        byte = error.object[error.start]
        likely = self._likely_encoding()
        return RefusedError(
            f"{self.path}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8 "
            f"(for example `iconv -f {likely} -t utf-8`), or give --encoding {likely}, in which it is "
            f"{bytes([byte]).decode(likely, errors='replace')!r}"
        )

    def _likely_encoding(self) -> str:
        """Windows-1252 or Latin-1, by the bytes that only one of them uses for letters."""
        found: set[int] = set()
        odd = 0
        with self.plain.open("rb") as stream:
            for raw in stream:
                try:
                    raw.decode()
                except UnicodeDecodeError:
                    odd += 1
                    found |= set(raw) & set(range(0x80, 0xA0))
                if odd == LOOKED_AT:
                    break
        return "cp1252" if found and found <= OF_WINDOWS else "latin1"


class Counted:
    """Numbered lines, the number of the last one taken, and, if they are to be kept, their text."""

    def __init__(self, lines: Iterable[tuple[int, str]], *, keep: bool = False) -> None:
        self.lines = lines
        self.keep = keep
        self.number = 0
        self._texts: list[str] = []

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for number, text in self.lines:
            self.number = number
            if self.keep:
                self._texts.append(text)
            yield number, text

    def taken(self) -> str:
        """The lines taken since this was last asked."""
        text = "".join(self._texts)
        self._texts.clear()
        return text


def _checked(encoding: str | None) -> str | None:
    if encoding is None:
        return None
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise RefusedError(f"--encoding {encoding!r} is unknown; give one such as cp1252, utf-16 or gb18030") from None


def _first_bytes(stream: IO[bytes], path: Path) -> bytes:
    try:
        return stream.read(HEAD)
    except BROKEN as error:
        raise broken_off(path, 0, error) from None


def _marked(begins: bytes, path: Path) -> str:
    """The encoding that a byte order mark says, else UTF-8."""
    for mark, encoding in MARKS:
        if begins.startswith(mark):
            return encoding
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(begins) > 8 and begins[offset::2].count(0) > 0.4 * len(begins) / 2:
            raise RefusedError(f"{path}: every other byte is 0, as in UTF-16; give --encoding {encoding}")
    return "utf-8"


def _blocks(stream: IO[bytes], path: Path, encoding: str) -> Iterator[bytes]:
    """The text in UTF-8 with `\\n` at the end of lines, block by block."""
    recode = encoding not in ("utf-8", "utf-8-sig")
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, held = 0, b""
    while True:
        try:
            raw = stream.read(BLOCK)
        except BROKEN as error:
            raise broken_off(path, lines, error) from None
        block = held + (decoder.decode(raw, final=not raw).encode() if recode else raw)
        # A return at the end may be half of a line end.
        held = b"\r" if raw and block.endswith(b"\r") else b""
        block = block[: len(block) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines += block.count(b"\n")
        yield block
        if not raw:
            return
