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

from iisan_core.errors import RefusedError


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

    Raises `RefusedError` if `path` exists already and is not empty, for nobody's work is overwritten, or cannot be
    where it should be.
    """
    refuse_existing(path)
    _make_folder(path.parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        refuse_existing(path)  # somebody may have taken it meanwhile
        if path.exists():
            path.rmdir()
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
