"""Pictures from a folder, a zip archive or memory: a mapping from name to the file's bytes.

Nothing is ever unpacked to a place the archive chooses: names are looked up, not followed.
"""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from PIL import Image, UnidentifiedImageError

from iisan_core.data.pictures import UNREADABLE, check_size, read_picture
from iisan_core.errors import RefusedError

EXTENSIONS = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "AVIF": ".avif",
    "TIFF": ".tiff",
}
"""Accepted picture formats by Pillow's name, and the extension each is stored under."""
OPENED = tuple(format for format in EXTENSIONS if format != "MPO")
"""What Pillow is asked to recognise; several JPEGs in one file, an MPO, begin as one."""
SUFFIXES = frozenset({*EXTENSIONS.values(), ".jpeg", ".tif"})
"""File endings that an importer looks for."""
MAX_BYTES = 64 * 2**20
"""A picture file larger than this is not read."""


class UnreadableImageError(Exception):
    """A picture that cannot be used; the message says why."""


class FolderImages(Mapping[str, bytes]):
    """Picture files below `root`; names are paths relative to it, with forward slashes."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise RefusedError(f"no pictures at {root}: it is no folder; name a folder or a .zip file")
        self.root = root

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or not _stays_inside(name):
            return False
        try:
            return (self.root / name).is_file()
        except OSError:  # a name too long for any file
            return False

    def __getitem__(self, name: str) -> bytes:
        if name not in self:
            raise KeyError(name)
        path = self.root / name
        try:
            _refuse_large(path.stat().st_size)
            return path.read_bytes()
        except OSError as error:
            raise UnreadableImageError(f"cannot be read: {error.strerror}") from None

    def __iter__(self) -> Iterator[str]:
        for path in sorted(self.root.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield path.relative_to(self.root).as_posix()

    def __len__(self) -> int:
        return sum(1 for _ in self)


class ZipImages(Mapping[str, bytes]):
    """Picture files in a zip archive; names are those in the archive."""

    def __init__(self, path: Path) -> None:
        try:
            self.archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise RefusedError(
                f"no pictures at {path}: not a readable zip file ({error}); name a folder or a .zip file"
            ) from None
        self.entries = {e.filename: e for e in self.archive.infolist() if not e.is_dir()}

    def __getitem__(self, name: str) -> bytes:
        entry = self.entries[name]
        _refuse_large(entry.file_size)
        try:
            return self.archive.read(entry)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, OSError, EOFError) as error:
            raise UnreadableImageError(f"broken in the archive: {error}") from None

    def __iter__(self) -> Iterator[str]:
        return (n for n in sorted(self.entries) if PurePosixPath(n).suffix.lower() in SUFFIXES)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def open_images(path: Path) -> FolderImages | ZipImages:
    """The pictures in a folder or in a `.zip` file; raises `RefusedError` if it is neither."""
    return ZipImages(path) if path.suffix.lower() == ".zip" else FolderImages(path)


def extension_of(data: bytes) -> str:
    """Decode a picture fully and return the extension of its format.

    Raises `UnreadableImageError` for anything Pillow cannot decode to the last row, for other formats than
    `EXTENSIONS`, and for pictures too large or too narrow (see `iisan_core.data.pictures`).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata is no reason to refuse; size is checked below
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=OPENED) as image:
                check_size(image)
                extension = EXTENSIONS[image.format or ""]
                image.verify()
            with Image.open(io.BytesIO(data), formats=OPENED) as image:
                image.load()
    except UnidentifiedImageError:
        raise UnreadableImageError(f"not one of {', '.join(EXTENSIONS)}") from None
    except UNREADABLE as error:
        raise UnreadableImageError(str(error) or type(error).__name__) from None
    return extension


def shrunk(data: bytes, *, longest_side: int) -> bytes:
    """A picture as JPEG, upright, on white where it is transparent, its longest side at most `longest_side` pixels.

    Raises `UnreadableImageError` as `extension_of` does.
    """
    extension_of(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = read_picture(io.BytesIO(data))
    plain.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    plain.save(stream, format="JPEG", quality=92)
    return stream.getvalue()


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and "\0" not in name


def _refuse_large(size: int) -> None:
    if size > MAX_BYTES:
        raise UnreadableImageError(f"{size} bytes, at most {MAX_BYTES} are read")
