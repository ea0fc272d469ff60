"""Pictures from a folder, a zip or tar archive or memory: a mapping from name to the file's bytes.

Nothing is ever unpacked to a place the archive chooses: names are looked up, not followed.
"""

from __future__ import annotations

import io
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from PIL import Image, UnidentifiedImageError, features

from iisan_core.data.pictures import UNREADABLE, check_size, read_picture
from iisan_core.errors import RefusedError

EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "MPO": ".jpg"}
"""Accepted picture formats by Pillow's name, and the extension each is stored under; MPO is what phones write."""
EXTENSIONS |= {"TIFF": ".tiff"} if features.check("libtiff") else {}
EXTENSIONS |= {"AVIF": ".avif"} if features.check("avif") else {}
FORMATS = tuple(name for name in EXTENSIONS if name != "MPO")
"""Formats by which Pillow opens; MPO comes in as JPEG."""
SUFFIXES = frozenset({*EXTENSIONS.values(), ".jpeg", ".jfif", *([".tif"] if "TIFF" in EXTENSIONS else [])})
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
        self.home = root.resolve()
        """A link that leads out of it is none of its pictures: who made the folder may not choose what is read."""

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or not _stays_inside(name):
            return False
        try:
            path = self.root / name
            return path.is_file() and path.resolve().is_relative_to(self.home)
        except (OSError, ValueError, RuntimeError):  # a name that no file can have, a link in a circle
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
            name = path.relative_to(self.root).as_posix()
            if path.suffix.lower() in SUFFIXES and name in self:
                yield name

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


class TarImages(Mapping[str, bytes]):
    """Picture files in a tar archive that is not packed, such as a shard of WebDataset; names are those in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with tarfile.open(path, "r:") as archive:
                self.entries = {entry.name: (entry.offset_data, entry.size) for entry in archive if entry.isreg()}
        except (OSError, tarfile.TarError) as error:
            raise RefusedError(
                f"no pictures at {path}: not a readable tar file ({error}); name a folder, a .zip or a .tar file"
            ) from None

    def __getitem__(self, name: str) -> bytes:
        begin, size = self.entries[name]
        _refuse_large(size)
        try:
            with self.path.open("rb") as stream:
                stream.seek(begin)
                return stream.read(size)
        except OSError as error:
            raise UnreadableImageError(f"cannot be read: {error.strerror}") from None

    def __iter__(self) -> Iterator[str]:
        return (n for n in sorted(self.entries) if PurePosixPath(n).suffix.lower() in SUFFIXES)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def open_images(path: Path) -> FolderImages | ZipImages | TarImages:
    """The pictures in a folder, in a `.zip` or in a `.tar` file; raises `RefusedError` if it is none of them."""
    archives: dict[str, type[ZipImages] | type[TarImages]] = {".zip": ZipImages, ".tar": TarImages}
    return archives.get(path.suffix.lower(), FolderImages)(path)


def extension_of(data: bytes) -> str:
    """Decode a picture fully and return the extension of its format.

    Raises `UnreadableImageError` for anything Pillow cannot decode to the last row, for other formats than
    `EXTENSIONS`, and for pictures too large or too narrow (see `iisan_core.data.pictures`).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata is no reason to refuse; size is checked below
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                check_size(image)
                extension = EXTENSIONS[image.format or ""]
                image.verify()
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                image.load()
    except UnidentifiedImageError:
        raise UnreadableImageError(f"not one of {', '.join(FORMATS)}") from None
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
