"""What a file is by its first bytes, whatever its name says, and its bytes unpacked."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from iisan_core.errors import RefusedError

if sys.version_info >= (3, 14):  # pragma: no cover
    from compression import zstd
else:
    from backports import zstd

BLOCK = 2**20
"""Bytes read at a time."""
HEAD = 4096
"""Bytes that tell what a file is."""
BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError, zstd.ZstdError)
"""What unpacking raises where the packed data breaks off or turns to noise."""

PACKED: dict[str, tuple[bytes, Callable[..., Any]]] = {
    "gzip": (b"\x1f\x8b", gzip.open),
    "bzip2": (b"BZh", bz2.open),
    "xz": (b"\xfd7zXZ\x00", lzma.open),
    "Zstandard": (b"\x28\xb5\x2f\xfd", zstd.open),
}
"""Name → how such a file begins, and what opens it."""
MAGIC: dict[str, bytes] = {
    "Parquet": b"PAR1",
    "Feather": b"ARROW1",
    "a zip archive": b"PK\x03\x04",
    "an old Excel workbook": b"\xd0\xcf\x11\xe0",
    "an HDF5 file": b"\x89HDF",
    "an SQLite database": b"SQLite format 3",
    "a pickle": b"\x80\x04",
    "a rar archive": b"Rar!",
    "a 7z archive": b"7z\xbc\xaf",
    "a PDF": b"%PDF",
}
"""What is no text: name → how such a file begins."""
EXCEL = "an Excel workbook"


def open_bytes(path: Path, *, what: str) -> IO[bytes]:
    """Open a file, unpacking gzip, bzip2, xz and Zstandard by their first bytes.

    Raises `RefusedError` naming `what` if it is absent or no file.
    """
    stream = _open_file(path, what=what)
    begins = stream.read(6)
    stream.seek(0)
    for magic, opener in PACKED.values():
        if begins.startswith(magic):
            stream.close()
            return cast("IO[bytes]", opener(path))
    return stream


def is_packed(path: Path, *, what: str) -> bool:
    """Whether the file is packed by one of `PACKED`."""
    return head(path, what=what).startswith(tuple(magic for magic, _ in PACKED.values()))


def head(path: Path, *, what: str, size: int = HEAD) -> bytes:
    """The first bytes of the file as it lies there."""
    with _open_file(path, what=what) as stream:
        return stream.read(size)


def kind_of(path: Path, *, what: str) -> str:
    """`text`, a name of `PACKED`, or one of `MAGIC` and `EXCEL`; raises `RefusedError` if there is no such file."""
    begins = head(path, what=what)
    for name, (magic, _) in PACKED.items():
        if begins.startswith(magic):
            return name
    if begins.startswith(MAGIC["a zip archive"]):
        return EXCEL if any(name.startswith("xl/") for name in members(path)) else "a zip archive"
    if begins[257:262] == b"ustar":
        return "a tar archive"
    return next((name for name, magic in MAGIC.items() if begins.startswith(magic)), "text")


def members(path: Path) -> list[str]:
    """Names of the files in a zip archive; none if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (OSError, zipfile.BadZipFile):
        return []


def refuse_other_kinds(path: Path, *, what: str) -> None:
    """Raise `RefusedError` naming what the file is, if it is no text, packed or not."""
    kind = kind_of(path, what=what)
    if kind == "text" or kind in PACKED:
        return
    raise RefusedError(f"{path} is {kind}, no text; {_remedy(kind, path, what=what)}")


def _remedy(kind: str, path: Path, *, what: str) -> str:
    if kind == "a zip archive":
        inside = members(path)
        listed = f" (it holds {', '.join(inside[:3])}{', …' if len(inside) > 3 else ''})" if inside else ""
        return f"unpack it and name the {what} in it{listed}"
    if kind in ("Parquet", "Feather"):
        return "the kinds `table` and `huggingface` read it"
    if kind == EXCEL:
        return "save the sheet as CSV (UTF-8), or import it by the kind `table`"
    return f"save the {what} as CSV, JSON lines or Parquet"


def broken_off(path: Path, lines: int, error: Exception) -> RefusedError:
    """What to say of a packed file that ends, or turns to noise, after so many lines."""
    return RefusedError(
        f"{path}, after line {lines}: the compressed data breaks off ({error}); download the file again"
    )


def _open_file(path: Path, *, what: str) -> IO[bytes]:
    try:
        return cast("IO[bytes]", path.open("rb"))
    except OSError as error:
        raise RefusedError(f"cannot read the {what} {path} ({error.strerror}); check the path") from None
