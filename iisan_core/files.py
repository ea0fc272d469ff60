"""Files that are whole or absent: everything is written under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no such locks
    fcntl = None  # type: ignore[assignment]

from iisan_core.errors import RefusedError

UNFINISHED = ".tmp"
"""Ending of folders that are being made."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` to write to; it becomes `path` only if the block succeeds.

    Raises `RefusedError` if `path` is a folder, or cannot be where it should be.
    """
    if path.is_dir():
        raise RefusedError(f"cannot write {path}: it is a folder; give the name of a file")
    _make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it becomes `path` only if the block succeeds.

    What killed processes left of such folders there is cleared away first.

    Raises `RefusedError` if `path` exists already and is not empty, for nobody's work is overwritten, or cannot be
    where it should be.
    """
    refuse_existing(path)
    _make_folder(path.parent)
    clear_unfinished(path.parent)
    made = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent))
    made.chmod(0o755)
    held = _hold(made)
    temporary = made.rename(made.with_suffix(UNFINISHED))  # by its final name only when it is held
    try:
        yield temporary
        refuse_existing(path)  # somebody may have taken it meanwhile
        if path.exists():
            path.rmdir()
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if held is not None:
            os.close(held)


def unfinished(folder: Path) -> list[Path]:
    """Temporary folders in `folder` that `new_folder` made and whose process has ended."""
    return [path for path in sorted(folder.glob(f".*{UNFINISHED}")) if path.is_dir() and _is_left(path)]


def clear_unfinished(folder: Path) -> list[Path]:
    """Remove what `unfinished` finds; returns what is gone."""
    left = unfinished(folder)
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return left


def _hold(folder: Path) -> int | None:
    """Lock a folder while this process lives and the returned handle is open; None where it cannot be locked."""
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _is_left(folder: Path) -> bool:
    try:
        handle = _hold(folder)
    except OSError:  # gone meanwhile, or not ours
        return False
    if handle is not None:
        os.close(handle)
    return handle is not None


def refuse_existing(path: Path) -> None:
    """Raise `RefusedError` if `path` is taken (an empty folder does not count)."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RefusedError(f"{path} exists already; choose another place or remove it first")


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise RefusedError(f"cannot make the folder {path}: a file is in its way; choose another place") from None


def refuse_links_outside(folder: Path) -> None:
    """Raise `RefusedError` if a link in `folder`, or one folder further down, leads out of it.

    Who reads or writes in a folder that came from elsewhere shall touch nothing but that folder.
    """
    home = folder.resolve()
    for path in [*folder.glob("*"), *folder.glob("*/*")]:
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise RefusedError(
                f"{path} is a link to {path.resolve()}, outside of {folder}; put what it leads to in its place"
            )


def write_text(path: Path, text: str) -> None:
    """Replace the file `path` by `text` (UTF-8) in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace the file `path` by `value` as indented JSON in one step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, *, what: str) -> Any:
    """Read a JSON file; `what` names it in the `RefusedError` raised when it is absent or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RefusedError(f"no {what} at {path}: the file does not exist") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RefusedError(f"{path} is no {what}: not valid JSON ({error})") from None


def flushed(path: Path) -> None:
    """Return when a file's bytes, or a folder's names, are on the disk and outlast a crash of the machine."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_texts(texts: Iterable[str]) -> str:
    """Hexadecimal SHA-256 of strings; order and boundaries count."""
    digest = hashlib.sha256()
    for text in texts:
        raw = text.encode("utf-8")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()
